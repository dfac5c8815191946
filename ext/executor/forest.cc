#include "executor/forest.h"

#include <utility>

#include "executor/compiled_forest.h"
#include "executor/forest_check.h"
#include "executor/forest_contributions.h"
#include "executor/forest_link.h"
#include "executor/matrix_model.h"

namespace penstock::executor {
namespace {

class ForestExecutor final : public Executor {
 public:
  ForestExecutor(const Forest& forest, ForestLink link,
                 std::unique_ptr<const ForestContributions> contributions)
      : origin_(forest.origin),
        compiled_(forest),
        link_(link),
        contributions_(std::move(contributions)),
        matrix_("a forest", forest.dtype, forest.features, forest.outputs,
                contributions_ ? static_cast<std::int64_t>(contributions_->values_a_row()) : 0) {}

  std::span<const TensorSpec> inputs() const noexcept override { return matrix_.inputs(); }
  std::span<const TensorSpec> outputs() const noexcept override { return matrix_.outputs(); }
  std::size_t default_outputs() const noexcept override { return 1; }

  std::string describe() const override {
    return "compiled forest" + (origin_.empty() ? "" : " of " + origin_) + ", cpu, " + compiled_.describe();
  }

  Status make_context(std::unique_ptr<Context>* made) const override {
    *made = std::make_unique<Context>();  // nothing changes while it runs
    return Status::ok();
  }

  Status run(Context&, std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted,
             Arena& arena, Results* results) const override {
    const auto answer = [&](std::uint32_t output, const TensorView& features, std::span<double> values) {
      const auto count = static_cast<std::size_t>(features.shape[0]);
      if (features.dtype == DataType::kFp32) {
        compute(output, static_cast<const float*>(features.data), count, arena, values);
      } else {
        compute(output, static_cast<const double*>(features.data), count, arena, values);
      }
      return Status::ok();
    };
    return matrix_.run(inputs, wanted, arena, results, answer);
  }

 private:
  template <typename Element>
  void compute(std::uint32_t output, const Element* rows, std::size_t count, Arena& arena,
               std::span<double> values) const {
    if (output == MatrixModel::kPrediction) {
      compiled_.sum(rows, count, arena, values.data());
      link_.apply(values);
    } else {
      contributions_->compute(rows, count, arena, values.data());
    }
  }

  std::string origin_;
  CompiledForest compiled_;
  ForestLink link_;
  std::unique_ptr<const ForestContributions>
      contributions_;  // null: the trees do not say what they would need
  MatrixModel matrix_;
};

}  // namespace

Status load_forest(Forest forest, std::unique_ptr<Executor>* made) {
  PENSTOCK_RETURN_IF_ERROR(check_forest(forest));
  ForestLink link;
  PENSTOCK_RETURN_IF_ERROR(ForestLink::make(forest.link, static_cast<std::size_t>(forest.outputs), &link));
  std::unique_ptr<const ForestContributions> contributions;
  const Status explained = ForestContributions::make(forest, &contributions);
  if (!explained.is_ok() && explained.code() != Code::kUnimplemented) return explained;
  *made = std::make_unique<ForestExecutor>(forest, link, std::move(contributions));
  return Status::ok();
}

}  // namespace penstock::executor
