;; A filter whose answer is whatever the first record's value says, byte by byte: for those who want to try every answer there is.
(core module $m
  (memory (export "memory") 8)
  (global $free (mut i32) (i32.const 262144))
  ;; Takes from the end, and gives nothing back.
  (func (export "realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get 3)))
    (block $enough (loop $grow
      (br_if $enough (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
      (br $grow)))
    (local.get $at))
  ;; What was given, up to 64 KiB of it, lies at 65536, and is the answer.
  (func $answer (param $from i32) (param $len i32) (result i32)
    (memory.copy (i32.const 65536) (local.get $from)
      (select (local.get $len) (i32.const 65536) (i32.lt_u (local.get $len) (i32.const 65536))))
    (global.set $free (i32.const 262144))
    (i32.const 65536))
  (func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (call $answer (local.get 8) (local.get 9))))
