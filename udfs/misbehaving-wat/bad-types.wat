;; A filter by name, whose `keep` takes no records.
(component
  (core module $m (func (export "keep")))
  (core instance $i (instantiate $m))
  (func $keep (canon lift (core func $i "keep")))
  (instance $filter (export "keep" (func $keep)))
  (export "millstream:udf/filter@0.1.0" (instance $filter)))
