;; Counts records and the bytes of their values: the successor of count, whose states it reads and writes back. For
;; records that count counted, their bytes are not known and count as 0. By hand, as a compiler would make it.
;;
;; Layout 0: the u64 of count, the low byte first, as the memory has it. Layout 1: that, and a u64 of bytes behind it.
;;
;; Memory: 16 is where the answer is made, 64 the column that `migrate` is given, 96 the digits of a number, 128 to 392 what
;; is said; from 1024 on the memory of a call, which starts anew after each.
(module
  (memory (export "memory") 1)
  (data (i32.const 128) "a state has two counts of 8 bytes")
  (data (i32.const 176) "a count has 8 bytes, here are ")
  (data (i32.const 224) "no way from layout ")
  (data (i32.const 256) " to ")
  (data (i32.const 272) ": layout 1 is made of [0], and turned back into [0]")
  (data (i32.const 336) " records, ")
  (data (i32.const 352) " bytes")
  ;; `layouts`: writes 1, and has two lists of one item, which are the same: the 0 at 388.
  (data (i32.const 368) "\01\00\00\00" "\84\01\00\00" "\01\00\00\00" "\84\01\00\00" "\01\00\00\00" "\00\00\00\00")
  (global $free (mut i32) (i32.const 1024))
  ;; The column that is being made: its offsets, the bits of what is there, its bytes, how many items it has, whether one
  ;; is null.
  (global $ends (mut i32) (i32.const 0))
  (global $bits (mut i32) (i32.const 0))
  (global $bytes (mut i32) (i32.const 0))
  (global $items (mut i32) (i32.const 0))
  (global $nulls (mut i32) (i32.const 0))

  ;; How the host puts arguments into this memory, and how columns are made: (old, old size, align, size) -> place.
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

  ;; ---- Columns that are given, as they lie in memory: offsets, data, validity, each a place and a length ----

  ;; How many items a column has: one less than offsets.
  (func $len (param $column i32) (result i32)
    (local $offsets i32)
    (local.set $offsets (i32.load offset=4 (local.get $column)))
    (i32.sub (local.get $offsets) (i32.ne (local.get $offsets) (i32.const 0))))

  ;; Place and length of an item. The length is -1 when it is null: one that is empty may be at any place, and has 0. An item
  ;; that the column does not have traps.
  (func $item (param $column i32) (param $i i32) (result i32 i32)
    (local $offset i32)
    (if (i32.ge_u (local.get $i) (call $len (local.get $column))) (then unreachable))
    ;; An empty validity: every item is there.
    (if (i32.lt_u (i32.shr_u (local.get $i) (i32.const 3)) (i32.load offset=20 (local.get $column))) (then
      (if (i32.eqz (i32.and (i32.const 1) (i32.shr_u
            (i32.load8_u (i32.add (i32.load offset=16 (local.get $column)) (i32.shr_u (local.get $i) (i32.const 3))))
            (i32.and (local.get $i) (i32.const 7))))) (then
        (return (i32.const 0) (i32.const -1))))))
    (local.set $offset (i32.add (i32.load (local.get $column)) (i32.shl (local.get $i) (i32.const 2))))
    (i32.add (i32.load offset=8 (local.get $column)) (i32.load (local.get $offset)))
    (i32.sub (i32.load offset=4 (local.get $offset)) (i32.load (local.get $offset))))

  ;; ---- The column that is made ----

  ;; Begins one of $len items. Its bytes come last: they grow in place, and need not be counted before they are written.
  (func $begin (param $len i32)
    (local $size i32)
    (global.set $ends (call $alloc (i32.const 0) (i32.const 0) (i32.const 4)
      (i32.shl (i32.add (local.get $len) (i32.const 1)) (i32.const 2))))
    (i32.store (global.get $ends) (i32.const 0))
    (local.set $size (i32.shr_u (i32.add (local.get $len) (i32.const 7)) (i32.const 3)))
    (global.set $bits (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $size)))
    ;; What an earlier call left is still there.
    (memory.fill (global.get $bits) (i32.const 0) (local.get $size))
    (global.set $bytes (global.get $free))
    (global.set $items (i32.const 0))
    (global.set $nulls (i32.const 0)))

  ;; Appends bytes to the item, or to the text, that is being written.
  (func $push (param $at i32) (param $len i32)
    (memory.copy
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $len))
      (local.get $at)
      (local.get $len)))

  ;; Appends both counts.
  (func $push_state (param $records i64) (param $bytes i64)
    (local $at i32)
    (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i64.store align=1 (local.get $at) (local.get $records))
    (i64.store offset=8 align=1 (local.get $at) (local.get $bytes)))

  ;; Appends a number in decimal digits, of which a u64 has at most 20. They come from the last to the first.
  (func $push_number (param $number i64)
    (local $at i32)
    (local.set $at (i32.const 116))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i64.store8 (local.get $at) (i64.add (i64.const 48) (i64.rem_u (local.get $number) (i64.const 10))))
      (local.set $number (i64.div_u (local.get $number) (i64.const 10)))
      (br_if $next (i64.ne (local.get $number) (i64.const 0))))
    (call $push (local.get $at) (i32.sub (i32.const 116) (local.get $at))))

  ;; The item is written; what comes now is the next one's.
  (func $end
    (local $byte i32)
    (local.set $byte (i32.add (global.get $bits) (i32.shr_u (global.get $items) (i32.const 3))))
    (i32.store8 (local.get $byte) (i32.or
      (i32.load8_u (local.get $byte))
      (i32.shl (i32.const 1) (i32.and (global.get $items) (i32.const 7)))))
    (call $close))

  ;; The item is null: its bit stays 0.
  (func $end_null
    (global.set $nulls (i32.const 1))
    (call $close))

  (func $close
    (global.set $items (i32.add (global.get $items) (i32.const 1)))
    (i32.store
      (i32.add (global.get $ends) (i32.shl (global.get $items) (i32.const 2)))
      (i32.sub (global.get $free) (global.get $bytes))))

  ;; An item as it is.
  (func $push_item (param $at i32) (param $len i32)
    (if (i32.eq (local.get $len) (i32.const -1)) (then
      (call $end_null)
      (return)))
    (call $push (local.get $at) (local.get $len))
    (call $end))

  ;; ---- Answers ----

  ;; No error, and the column; for `folded` no rejections behind it, which the other answers do not look at.
  (func $done (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (global.get $ends))
    (i32.store (i32.const 24) (i32.add (global.get $items) (i32.const 1)))
    (i32.store (i32.const 28) (global.get $bytes))
    (i32.store (i32.const 32) (i32.sub (global.get $free) (global.get $bytes)))
    ;; Without a null no validity.
    (i32.store (i32.const 36) (global.get $bits))
    (i32.store (i32.const 40) (i32.mul
      (global.get $nulls)
      (i32.shr_u (i32.add (global.get $items) (i32.const 7)) (i32.const 3))))
    (i64.store align=4 (i32.const 44) (i64.const 0))
    (i32.const 16))

  ;; The error of the call: the text from $at to where memory is free.
  (func $failed (param $at i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (local.get $at))
    (i32.store (i32.const 24) (i32.sub (global.get $free) (local.get $at)))
    (i32.const 16))

  ;; A count would have 8 bytes, and has $len.
  (func $not_a_count (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (call $push (i32.const 176) (i32.const 30))
    (call $push_number (i64.extend_i32_u (local.get $len)))
    (call $failed (local.get $at)))

  ;; A state of layout 1 would have 16 bytes, and has $len.
  (func $not_a_state (param $len i32) (result i32)
    (local $at i32)
    (if (i32.ge_u (local.get $len) (i32.const 8)) (then
      (return (call $not_a_count (i32.sub (local.get $len) (i32.const 8))))))
    (local.set $at (global.get $free))
    (call $push (i32.const 128) (i32.const 33))
    (call $failed (local.get $at)))

  ;; ---- What is exported. More than 16 numbers come in memory: $in is the place of all parameters, one behind the other ----

  ;; groups: keys at 0, starts at 24, ends at 32, states at 40, offsets at 64, members at 72; records: keys at 80, values at
  ;; 104, timestamps at 128. A null value has no bytes, so its validity is not looked at. No record is refused.
  (func (export "millstream:udf/aggregator@0.1.0#add") (param $in i32) (result i32)
    (local $groups i32) (local $group i32) (local $at i32) (local $len i32) (local $records i64) (local $bytes i64)
    (local $place i32) (local $last i32) (local $member i32) (local $values i32) (local $offsets i32)
    (local.set $groups (call $len (local.get $in)))
    (local.set $values (call $len (i32.add (local.get $in) (i32.const 104))))
    (call $begin (local.get $groups))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $group) (local.get $groups)))
        (call $item (i32.add (local.get $in) (i32.const 40)) (local.get $group))
        (local.set $len)
        (local.set $at)
        (local.set $records (i64.const 0))
        (local.set $bytes (i64.const 0))
        (if (i32.ne (local.get $len) (i32.const -1)) (then
          (if (i32.ne (local.get $len) (i32.const 16)) (then (return (call $not_a_state (local.get $len)))))
          (local.set $records (i64.load align=1 (local.get $at)))
          (local.set $bytes (i64.load offset=8 align=1 (local.get $at)))))
        ;; Places in `members`, from one offset of the group to the next.
        (local.set $group (i32.add (local.get $group) (i32.const 1)))
        (if (i32.ge_u (local.get $group) (i32.load offset=68 (local.get $in))) (then unreachable))
        (local.set $offsets (i32.add (i32.load offset=64 (local.get $in)) (i32.shl (local.get $group) (i32.const 2))))
        (local.set $place (i32.load (i32.sub (local.get $offsets) (i32.const 4))))
        (local.set $last (i32.load (local.get $offsets)))
        (if (i32.gt_u (local.get $last) (i32.load offset=76 (local.get $in))) (then unreachable))
        ;; A group into which no record falls is as it was: what was stored, or nothing.
        (if (i32.ge_u (local.get $place) (local.get $last)) (then
          (call $push_item (local.get $at) (local.get $len))
          (br $next)))
        (local.set $records (i64.add
          (local.get $records)
          (i64.extend_i32_u (i32.sub (local.get $last) (local.get $place)))))
        ;; From here on both are places in memory.
        (local.set $place (i32.add (i32.load offset=72 (local.get $in)) (i32.shl (local.get $place) (i32.const 2))))
        (local.set $last (i32.add (i32.load offset=72 (local.get $in)) (i32.shl (local.get $last) (i32.const 2))))
        (loop $add
          (local.set $member (i32.load (local.get $place)))
          (if (i32.ge_u (local.get $member) (local.get $values)) (then unreachable))
          (local.set $offsets (i32.add (i32.load offset=104 (local.get $in)) (i32.shl (local.get $member) (i32.const 2))))
          (local.set $bytes (i64.add
            (local.get $bytes)
            (i64.extend_i32_u (i32.sub (i32.load offset=4 (local.get $offsets)) (i32.load (local.get $offsets))))))
          (local.set $place (i32.add (local.get $place) (i32.const 4)))
          (br_if $add (i32.lt_u (local.get $place) (local.get $last))))
        (call $push_state (local.get $records) (local.get $bytes))
        (call $end)
        (br $next)))
    (call $done))

  ;; groups, as for `add`. Nothing leaves where nothing was stored.
  (func (export "millstream:udf/aggregator@0.1.0#finish") (param $in i32) (result i32)
    (local $groups i32) (local $group i32) (local $at i32) (local $len i32)
    (local.set $in (i32.add (local.get $in) (i32.const 40)))
    (local.set $groups (call $len (local.get $in)))
    (call $begin (local.get $groups))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $group) (local.get $groups)))
        (call $item (local.get $in) (local.get $group))
        (local.set $len)
        (local.set $at)
        (local.set $group (i32.add (local.get $group) (i32.const 1)))
        (if (i32.eq (local.get $len) (i32.const -1)) (then
          (call $end_null)
          (br $next)))
        (if (i32.ne (local.get $len) (i32.const 16)) (then (return (call $not_a_state (local.get $len)))))
        (call $push_number (i64.load align=1 (local.get $at)))
        (call $push (i32.const 336) (i32.const 10))
        (call $push_number (i64.load offset=8 align=1 (local.get $at)))
        (call $push (i32.const 352) (i32.const 6))
        (call $end)
        (br $next)))
    (call $done))

  ;; keys at 0, left at 24, right at 48. Where a side is null, the other stays as it is.
  (func (export "millstream:udf/merger@0.1.0#merge") (param $in i32) (result i32)
    (local $items i32) (local $i i32) (local $left i32) (local $left_len i32) (local $right i32) (local $right_len i32)
    (local.set $items (call $len (i32.add (local.get $in) (i32.const 24))))
    (call $begin (local.get $items))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $items)))
        (call $item (i32.add (local.get $in) (i32.const 24)) (local.get $i))
        (local.set $left_len)
        (local.set $left)
        (call $item (i32.add (local.get $in) (i32.const 48)) (local.get $i))
        (local.set $right_len)
        (local.set $right)
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (if (i32.eq (local.get $right_len) (i32.const -1)) (then
          (call $push_item (local.get $left) (local.get $left_len))
          (br $next)))
        (if (i32.eq (local.get $left_len) (i32.const -1)) (then
          (call $push_item (local.get $right) (local.get $right_len))
          (br $next)))
        (if (i32.ne (local.get $left_len) (i32.const 16)) (then (return (call $not_a_state (local.get $left_len)))))
        (if (i32.ne (local.get $right_len) (i32.const 16)) (then (return (call $not_a_state (local.get $right_len)))))
        (call $push_state
          (i64.add (i64.load align=1 (local.get $left)) (i64.load align=1 (local.get $right)))
          (i64.add (i64.load offset=8 align=1 (local.get $left)) (i64.load offset=8 align=1 (local.get $right))))
        (call $end)
        (br $next)))
    (call $done))

  ;; Always the same, and nothing of a call's memory: so it needs no post-return.
  (func (export "millstream:udf/migrator@0.1.0#describe") (result i32)
    (i32.const 368))

  ;; store, layouts, keys, states: 16 numbers, the most that come one by one. An aggregate's states are in no store.
  (func (export "millstream:udf/migrator@0.1.0#migrate")
    (param i32 i32)
    (param $old i32) (param $new i32)
    (param i32 i32 i32 i32 i32 i32)
    (param $offsets i32) (param $offsets_len i32) (param $data i32) (param $data_len i32)
    (param $validity i32) (param $validity_len i32)
    (result i32)
    (local $items i32) (local $i i32) (local $at i32) (local $len i32)
    ;; From 0 to 1 and from 1 to 0.
    (if (i32.or
          (i32.gt_u (local.get $old) (i32.const 1))
          (i32.ne (local.get $new) (i32.xor (local.get $old) (i32.const 1)))) (then
      (local.set $at (global.get $free))
      (call $push (i32.const 224) (i32.const 19))
      (call $push_number (i64.extend_i32_u (local.get $old)))
      (call $push (i32.const 256) (i32.const 4))
      (call $push_number (i64.extend_i32_u (local.get $new)))
      (call $push (i32.const 272) (i32.const 51))
      (return (call $failed (local.get $at)))))
    ;; Into memory, where the other functions find theirs.
    (i32.store (i32.const 64) (local.get $offsets))
    (i32.store (i32.const 68) (local.get $offsets_len))
    (i32.store (i32.const 72) (local.get $data))
    (i32.store (i32.const 76) (local.get $data_len))
    (i32.store (i32.const 80) (local.get $validity))
    (i32.store (i32.const 84) (local.get $validity_len))
    (local.set $items (call $len (i32.const 64)))
    (call $begin (local.get $items))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $items)))
        (call $item (i32.const 64) (local.get $i))
        (local.set $len)
        (local.set $at)
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (if (i32.eq (local.get $len) (i32.const -1)) (then
          (call $end_null)
          (br $next)))
        (if (local.get $old)
          (then
            (if (i32.ne (local.get $len) (i32.const 16)) (then (return (call $not_a_state (local.get $len)))))
            (call $push (local.get $at) (i32.const 8)))
          (else
            (if (i32.ne (local.get $len) (i32.const 8)) (then (return (call $not_a_count (local.get $len)))))
            (call $push_state (i64.load align=1 (local.get $at)) (i64.const 0))))
        (call $end)
        (br $next)))
    (call $done))

  ;; The host has read the answer.
  (func
    (export "cabi_post_millstream:udf/aggregator@0.1.0#add")
    (export "cabi_post_millstream:udf/aggregator@0.1.0#finish")
    (export "cabi_post_millstream:udf/merger@0.1.0#merge")
    (export "cabi_post_millstream:udf/migrator@0.1.0#migrate")
    (param i32)
    (global.set $free (i32.const 1024))))
