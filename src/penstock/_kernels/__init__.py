"""The built-in kernels, compiled from ext/kernels. `KERNELS` of each module: names to function addresses."""
