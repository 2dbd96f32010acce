;; A filter of a later contract than this host knows.
(component
  (core module $m (func (export "keep")))
  (core instance $i (instantiate $m))
  (func $keep (canon lift (core func $i "keep")))
  (instance $filter (export "keep" (func $keep)))
  (export "millstream:udf/filter@0.2.0" (instance $filter)))
