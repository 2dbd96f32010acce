;; A filter that asks its host for 16 GiB with 17 MiB of its own: a thousand reasons that are all the same bytes.
(core module $m
  (memory (export "memory") 260)
  (global $free (mut i32) (i32.const 17000000))
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
  (func (export "keep") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (local $at i32)
    ;; A thousand rejections, and the reason of each is the same 16 MiB.
    (local.set $at (i32.const 65536))
    (loop $next
      (i32.store offset=4 (local.get $at) (i32.const 131072))
      (i32.store offset=8 (local.get $at) (i32.const 16777216))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 12))) (i32.const 77536))))
    (i32.store (i32.const 28) (i32.const 65536))
    (i32.store (i32.const 32) (i32.const 1000))
    (i32.const 16)))
