;; The shell around each file here that holds only a core module $m: a component that exports $m's `keep` as the contract's
;; filter. Put together by ../assemble.
(component
  ;; the module stands here
  (core instance $i (instantiate $m))
  (type $bytes (record (field "offsets" (list u32)) (field "data" (list u8)) (field "validity" (list u8))))
  (export $bytes-column "bytes-column" (type $bytes))
  (type $records (record (field "keys" $bytes-column) (field "values" $bytes-column) (field "timestamps" (list s64))))
  (export $batch "batch" (type $records))
  (type $refused (record (field "index" u32) (field "reason" string)))
  (export $rejection "rejection" (type $refused))
  (type $answer (record (field "bits" (list u8)) (field "rejected" (list $rejection))))
  (export $kept "kept" (type $answer))
  (func $keep (param "records" $batch) (result (result $kept (error string)))
    (canon lift (core func $i "keep") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $filter (export "keep" (func $keep)))
  (export "millstream:udf/filter@0.1.0" (instance $filter)))
