;; Keeps lines that carry an address: records whose value contains `IP:`. By hand, as a compiler would make it: a core
;; module, of which `assemble component` (or `millstream componentize`) makes a component by the contract.
;;
;; Memory: 16 is where the answer is made; from 1024 on the memory of a call, which starts anew after each.
(module
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024))

  ;; How the host puts arguments into this memory, and how the bitmap is made: (old, old size, align, size) -> place.
  ;; Nothing is given back before the call ends. A memory that does not grow traps.
  (func $alloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32) (local $pages i32)
    (local.set $at (i32.and
      (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    ;; No call has 2 GiB.
    (if (i32.lt_s (local.get $at) (i32.const 0)) (then unreachable))
    (if (i32.lt_s (local.get $size) (i32.const 0)) (then unreachable))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    (if (i32.lt_s (global.get $free) (i32.const 0)) (then unreachable))
    (local.set $pages (i32.sub
      (i32.shr_u (i32.add (global.get $free) (i32.const 65535)) (i32.const 16))
      (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0)) (then
      (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable))))
    (memory.copy (local.get $at) (local.get $old) (local.get $old_size))
    (local.get $at))

  ;; Whether the bytes from $at to before $end contain `IP:`.
  (func $contains (param $at i32) (param $end i32) (result i32)
    (local.set $end (i32.sub (local.get $end) (i32.const 2)))
    (block $no
      (loop $next
        (br_if $no (i32.ge_s (local.get $at) (local.get $end)))
        (if (i32.eq (i32.load16_u (local.get $at)) (i32.const 0x5049)) (then
          (if (i32.eq (i32.load8_u offset=2 (local.get $at)) (i32.const 0x3a)) (then
            (return (i32.const 1))))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; The batch in its columns, each a place and a length: keys (offsets, data, validity), values (the same), timestamps.
  ;; A null value has no bytes, so `validity` is not looked at.
  (func (export "millstream:udf/filter@0.1.0#keep")
    (param i32 i32 i32 i32 i32 i32)
    (param $offsets i32) (param i32) (param $data i32) (param i32 i32 i32)
    (param i32) (param $len i32)
    (result i32)
    (local $bits i32) (local $bytes i32) (local $i i32) (local $byte i32)
    (local.set $bytes (i32.shr_u (i32.add (local.get $len) (i32.const 7)) (i32.const 3)))
    (local.set $bits (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $bytes)))
    (memory.fill (local.get $bits) (i32.const 0) (local.get $bytes))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
        (local.set $byte (i32.add (local.get $bits) (i32.shr_u (local.get $i) (i32.const 3))))
        (i32.store8 (local.get $byte) (i32.or
          (i32.load8_u (local.get $byte))
          (i32.shl
            (call $contains
              (i32.add (local.get $data) (i32.load (local.get $offsets)))
              (i32.add (local.get $data) (i32.load offset=4 (local.get $offsets))))
            (i32.and (local.get $i) (i32.const 7)))))
        (local.set $offsets (i32.add (local.get $offsets) (i32.const 4)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    ;; No error; the bits; no rejections.
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (local.get $bits))
    (i32.store (i32.const 24) (local.get $bytes))
    (i64.store (i32.const 28) (i64.const 0))
    (i32.const 16))

  ;; The host has read the answer.
  (func (export "cabi_post_millstream:udf/filter@0.1.0#keep") (param i32)
    (global.set $free (i32.const 1024))))
