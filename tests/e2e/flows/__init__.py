"""The small application that the operators of these tests run; loaded by `PERDURE_MODULES=tests.e2e.flows`."""
