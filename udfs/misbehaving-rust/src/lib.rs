//! Functions that break the pledge, one in each example: what a host must withstand. Not for pipelines.
