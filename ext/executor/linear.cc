#include "executor/linear.h"

#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "executor/exponential.h"
#include "executor/matrix_model.h"
#include "executor/scores.h"

namespace penstock::executor {
namespace {

enum class Link { kIdentity, kLog, kLogistic, kSoftmax, kOneVersusRest };

constexpr std::array<std::pair<std::string_view, Link>, 5> kLinks{
    {{"identity", Link::kIdentity},
     {"log", Link::kLog},
     {"logistic", Link::kLogistic},
     {"softmax", Link::kSoftmax},
     {"one_versus_rest", Link::kOneVersusRest}}};

Status link_of(const std::string& name, Link* found) {
  std::string expected;
  for (const auto& [known, link] : kLinks) {
    if (known == name) {
      *found = link;
      return Status::ok();
    }
    expected += (expected.empty() ? "" : ", ") + std::string(known);
  }
  return invalid_argument("a linear model has no link '" + name + "'; expected one of " + expected);
}

Status check_finite(const std::vector<double>& values, std::string_view what) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return invalid_argument("a linear model's " + std::string(what) + " " + std::to_string(i) + " is " +
                              std::to_string(values[i]) + "; finite numbers are expected");
    }
  }
  return Status::ok();
}

Status check_model(const LinearModel& model, Link link) {
  const std::size_t outputs = model.intercepts.size();
  const std::size_t count = model.coefficients.size();
  if (outputs == 0 || count == 0 || count % outputs != 0) {
    return invalid_argument("a linear model has " + std::to_string(count) + " coefficients and " +
                            std::to_string(outputs) +
                            " intercepts; expected the same number of coefficients, at least one, for each "
                            "intercept");
  }
  const bool one = link == Link::kLogistic;
  const bool several = link == Link::kSoftmax || link == Link::kOneVersusRest;
  if ((one && outputs != 1) || (several && outputs < 2)) {
    return invalid_argument("a linear model of link '" + model.link + "' has " + std::to_string(outputs) +
                            " outputs; expected " + (one ? "one" : "two or more"));
  }
  if (model.dtype != DataType::kFp64 && model.dtype != DataType::kFp32) {
    return invalid_argument("a linear model's features are FP64 or FP32, not " +
                            std::string(datatype_name(model.dtype)));
  }
  PENSTOCK_RETURN_IF_ERROR(check_finite(model.coefficients, "coefficient"));
  return check_finite(model.intercepts, "intercept");
}

// By way of e**-|score|, which never overflows and keeps small probabilities exact.
double logistic(double score) noexcept {
  const double power = exponential(-std::fabs(score));
  return (score < 0 ? power : 1.0) / (1.0 + power);
}

void softmax(std::span<double> scores) noexcept {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double score : scores) largest = score > largest ? score : largest;
  double sum = 0;
  for (double& score : scores) {
    score = exponential(score - largest);
    sum += score;
  }
  for (double& score : scores) score /= sum;
}

void one_versus_rest(std::span<double> scores) noexcept {
  double sum = 0;
  for (double& score : scores) {
    score = logistic(score);
    sum += score;
  }
  for (double& score : scores) score = sum == 0 ? 1.0 / static_cast<double>(scores.size()) : score / sum;
}

class LinearExecutor final : public Executor {
 public:
  LinearExecutor(LinearModel model, Link link)
      : model_(std::move(model)),
        link_(link),
        features_(model_.coefficients.size() / model_.intercepts.size()),
        kernel_(score_kernels().back()),
        matrix_("a linear model", model_.dtype, static_cast<std::int64_t>(features_),
                static_cast<std::int64_t>(outputs_a_row())) {}

  std::span<const TensorSpec> inputs() const noexcept override { return matrix_.inputs(); }
  std::span<const TensorSpec> outputs() const noexcept override { return matrix_.outputs(); }

  std::string describe() const override { return "linear, cpu, " + std::string(kernel_.name); }

  Status make_context(std::unique_ptr<Context>* made) const override {
    *made = std::make_unique<Context>();  // nothing changes while it runs
    return Status::ok();
  }

  Status run(Context&, std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted,
             Arena& arena, Results* results) const override {
    const auto predict = [this](std::uint32_t, const TensorView& features, std::span<double> prediction) {
      const auto rows = static_cast<std::size_t>(features.shape[0]);
      const Coefficients by{model_.coefficients.data(), model_.intercepts.data(), outputs_a_row(), features_};
      if (features.dtype == DataType::kFp64) {
        kernel_.fp64(static_cast<const double*>(features.data), rows, by, prediction.data());
      } else {
        kernel_.fp32(static_cast<const float*>(features.data), rows, by, prediction.data());
      }
      apply_link(prediction);
      // Which NaN a sum gives depends on the order of an instruction's operands; this one does not.
      for (double& value : prediction) {
        if (value != value) value = std::numeric_limits<double>::quiet_NaN();
      }
      return Status::ok();
    };
    return matrix_.run(inputs, wanted, arena, results, predict);
  }

 private:
  std::size_t outputs_a_row() const noexcept { return model_.intercepts.size(); }

  void apply_link(std::span<double> scores) const noexcept {
    switch (link_) {
      case Link::kIdentity:
        return;
      case Link::kLog:
        for (double& score : scores) score = exponential(score);
        return;
      case Link::kLogistic:
        for (double& score : scores) score = logistic(score);
        return;
      case Link::kSoftmax:
        for (std::size_t i = 0; i < scores.size(); i += outputs_a_row()) {
          softmax(scores.subspan(i, outputs_a_row()));
        }
        return;
      case Link::kOneVersusRest:
        for (std::size_t i = 0; i < scores.size(); i += outputs_a_row()) {
          one_versus_rest(scores.subspan(i, outputs_a_row()));
        }
        return;
    }
  }

  LinearModel model_;
  Link link_;
  std::size_t features_;
  ScoreKernel kernel_;
  MatrixModel matrix_;
};

}  // namespace

Status load_linear(LinearModel model, std::unique_ptr<Executor>* made) {
  Link link{};
  PENSTOCK_RETURN_IF_ERROR(link_of(model.link, &link));
  PENSTOCK_RETURN_IF_ERROR(check_model(model, link));
  *made = std::make_unique<LinearExecutor>(std::move(model), link);
  return Status::ok();
}

}  // namespace penstock::executor
