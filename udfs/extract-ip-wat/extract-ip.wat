;; Address and time of access-log lines: the key becomes the text after `IP:` up to the next comma, the event time the
;; bracketed UTC time; the value stays. What the address looks like is not judged. By hand, as a compiler would make it.
;;
;; Memory: 16 is where the answer is made, 256 are the reasons; from 1024 on the memory of a call, which starts anew after
;; each. What is made of a batch is never larger than the batch, so that columns are taken whole and never grow.
(module
  (memory (export "memory") 1)
  (data (i32.const 256) "the line does not start with [YYYY-MM-DD hh:mm:ss]")
  (data (i32.const 320) "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss")
  (data (i32.const 384) "the bracketed time is before 1970")
  (data (i32.const 448) "the line has no field IP")
  (data (i32.const 512) "the field IP is empty")
  (global $free (mut i32) (i32.const 1024))
  ;; What $parse read.
  (global $ip (mut i32) (i32.const 0))
  (global $ip_end (mut i32) (i32.const 0))
  (global $time (mut i64) (i64.const 0))

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

  ;; The number that $len digits at $at are; -1 where one is none.
  (func $digits (param $at i32) (param $len i32) (result i32)
    (local $number i32) (local $digit i32)
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
      (if (i32.gt_u (local.get $digit) (i32.const 9)) (then (return (i32.const -1))))
      (local.set $number (i32.add (i32.mul (local.get $number) (i32.const 10)) (local.get $digit)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))
    (local.get $number))

  ;; 28 to 31; the month is one.
  (func $days_of_month (param $year i32) (param $month i32) (result i32)
    (if (i32.eq (local.get $month) (i32.const 2)) (then
      (return (i32.add (i32.const 28) (i32.and
        (i32.eqz (i32.rem_u (local.get $year) (i32.const 4)))
        (i32.or
          (i32.ne (i32.rem_u (local.get $year) (i32.const 100)) (i32.const 0))
          (i32.eqz (i32.rem_u (local.get $year) (i32.const 400)))))))))
    ;; 30 in months 4, 6, 9, 11.
    (i32.sub (i32.const 31) (i32.and (i32.shr_u (i32.const 0xa50) (local.get $month)) (i32.const 1))))

  ;; Milliseconds since 1970 by the civil calendar, counted in years that begin in March. 400 years more, so that no
  ;; division is of a negative number.
  (func $since_1970 (param $year i32) (param $month i32) (param $day i32) (param $second i32) (result i64)
    (local.set $year (i32.add (local.get $year) (i32.const 400)))
    (if (i32.gt_u (local.get $month) (i32.const 2))
      (then (local.set $month (i32.sub (local.get $month) (i32.const 3))))
      (else
        (local.set $month (i32.add (local.get $month) (i32.const 9)))
        (local.set $year (i32.sub (local.get $year) (i32.const 1)))))
    (i64.mul (i64.const 1000) (i64.add
      (i64.extend_i32_u (local.get $second))
      (i64.mul (i64.const 86400) (i64.extend_i32_s (i32.add
        (i32.add
          (i32.mul (local.get $year) (i32.const 365))
          (i32.add
            (i32.sub (i32.div_u (local.get $year) (i32.const 4)) (i32.div_u (local.get $year) (i32.const 100)))
            (i32.div_u (local.get $year) (i32.const 400))))
        (i32.sub
          (i32.add
            (i32.div_u (i32.add (i32.mul (local.get $month) (i32.const 153)) (i32.const 2)) (i32.const 5))
            (local.get $day))
          ;; One day, 400 years, and the days from the first of March of the year 0 to 1970.
          (i32.const 865566))))))))

  ;; The first $byte from $at to before $end; $end when there is none.
  (func $find (param $at i32) (param $end i32) (param $byte i32) (result i32)
    (block $found
      (loop $next
        (br_if $found (i32.ge_u (local.get $at) (local.get $end)))
        (br_if $found (i32.eq (i32.load8_u (local.get $at)) (local.get $byte)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $at))

  ;; White space of ASCII: tab, line feed, form feed, carriage return, space.
  (func $is_space (param $byte i32) (result i32)
    (i32.or
      (i32.eq (local.get $byte) (i32.const 32))
      (i32.and
        (i32.lt_u (local.get $byte) (i32.const 14))
        (i32.and (i32.shr_u (i32.const 0x3600) (local.get $byte)) (i32.const 1)))))

  ;; Reads the line from $at to before $end into the globals. Place and length of the reason why it cannot; 0 and 0: it could.
  (func $parse (param $at i32) (param $end i32) (result i32 i32)
    (local $year i32) (local $month i32) (local $day i32) (local $hour i32) (local $minute i32) (local $second i32)
    (if (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 21)) (then (return (i32.const 256) (i32.const 50))))
    (if (i32.ne (i32.load8_u (local.get $at)) (i32.const 0x5b)) (then (return (i32.const 256) (i32.const 50))))
    (if (i32.ne (i32.load8_u offset=20 (local.get $at)) (i32.const 0x5d)) (then (return (i32.const 256) (i32.const 50))))
    (if (i32.ne (i32.load8_u offset=5 (local.get $at)) (i32.const 45)) (then (return (i32.const 320) (i32.const 56))))  ;; -
    (if (i32.ne (i32.load8_u offset=8 (local.get $at)) (i32.const 45)) (then (return (i32.const 320) (i32.const 56))))  ;; -
    (if (i32.ne (i32.load8_u offset=11 (local.get $at)) (i32.const 32)) (then (return (i32.const 320) (i32.const 56))))  ;; space
    (if (i32.ne (i32.load8_u offset=14 (local.get $at)) (i32.const 58)) (then (return (i32.const 320) (i32.const 56))))  ;; :
    (if (i32.ne (i32.load8_u offset=17 (local.get $at)) (i32.const 58)) (then (return (i32.const 320) (i32.const 56))))  ;; :
    (local.set $year (call $digits (i32.add (local.get $at) (i32.const 1)) (i32.const 4)))
    (if (i32.gt_u (i32.sub (local.get $year) (i32.const 0)) (i32.const 9999)) (then (return (i32.const 320) (i32.const 56))))
    (local.set $month (call $digits (i32.add (local.get $at) (i32.const 6)) (i32.const 2)))
    (if (i32.gt_u (i32.sub (local.get $month) (i32.const 1)) (i32.const 11)) (then (return (i32.const 320) (i32.const 56))))
    (local.set $day (call $digits (i32.add (local.get $at) (i32.const 9)) (i32.const 2)))
    (if (i32.gt_u (i32.sub (local.get $day) (i32.const 1)) (i32.const 30)) (then (return (i32.const 320) (i32.const 56))))
    (local.set $hour (call $digits (i32.add (local.get $at) (i32.const 12)) (i32.const 2)))
    (if (i32.gt_u (i32.sub (local.get $hour) (i32.const 0)) (i32.const 23)) (then (return (i32.const 320) (i32.const 56))))
    (local.set $minute (call $digits (i32.add (local.get $at) (i32.const 15)) (i32.const 2)))
    (if (i32.gt_u (i32.sub (local.get $minute) (i32.const 0)) (i32.const 59)) (then (return (i32.const 320) (i32.const 56))))
    (local.set $second (call $digits (i32.add (local.get $at) (i32.const 18)) (i32.const 2)))
    (if (i32.gt_u (i32.sub (local.get $second) (i32.const 0)) (i32.const 59)) (then (return (i32.const 320) (i32.const 56))))
    (if (i32.gt_u (local.get $day) (call $days_of_month (local.get $year) (local.get $month))) (then (return (i32.const 320) (i32.const 56))))
    (global.set $time (call $since_1970 (local.get $year) (local.get $month) (local.get $day)
      (i32.add
        (i32.mul (i32.add (i32.mul (local.get $hour) (i32.const 60)) (local.get $minute)) (i32.const 60))
        (local.get $second))))
    (if (i64.lt_s (global.get $time) (i64.const 0)) (then (return (i32.const 384) (i32.const 33))))
    ;; `IP:`, from the bracket on.
    (local.set $at (i32.add (local.get $at) (i32.const 20)))
    (loop $next
      (local.set $at (call $find (local.get $at) (local.get $end) (i32.const 0x49)))
      (if (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 3)) (then (return (i32.const 448) (i32.const 24))))
      (if (i32.or
            (i32.ne (i32.load8_u offset=1 (local.get $at)) (i32.const 0x50))
            (i32.ne (i32.load8_u offset=2 (local.get $at)) (i32.const 0x3a))) (then
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next))))
    (local.set $at (i32.add (local.get $at) (i32.const 3)))
    (local.set $end (call $find (local.get $at) (local.get $end) (i32.const 0x2c)))
    (block $trimmed
      (loop $trim
        (br_if $trimmed (i32.ge_u (local.get $at) (local.get $end)))
        (if (call $is_space (i32.load8_u (local.get $at))) (then
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $trim)))
        (if (call $is_space (i32.load8_u (i32.sub (local.get $end) (i32.const 1)))) (then
          (local.set $end (i32.sub (local.get $end) (i32.const 1)))
          (br $trim)))))
    (if (i32.eq (local.get $at) (local.get $end)) (then (return (i32.const 512) (i32.const 21))))
    (global.set $ip (local.get $at))
    (global.set $ip_end (local.get $end))
    (i32.const 0) (i32.const 0))

  ;; The batch in its columns, each a place and a length: keys (offsets, data, validity), values (the same), timestamps.
  ;; A null value has no bytes, so `validity` is not looked at.
  (func (export "millstream:udf/mapper@0.1.0#apply")
    (param i32 i32 i32 i32 i32 i32)
    (param $offsets i32) (param i32) (param $data i32) (param $data_len i32) (param i32 i32)
    (param i32) (param $len i32)
    (result i32)
    (local $i i32) (local $results i32) (local $size i32) (local $reason i32) (local $reason_len i32)
    (local $times i32) (local $ends i32) (local $sources i32) (local $keys i32) (local $rejected i32) (local $refused i32)
    (local.set $times (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.mul (local.get $len) (i32.const 8))))
    (local.set $ends (call $alloc (i32.const 0) (i32.const 0) (i32.const 4)
      (i32.mul (i32.add (local.get $len) (i32.const 1)) (i32.const 4))))
    (local.set $sources (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.mul (local.get $len) (i32.const 4))))
    (local.set $rejected (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.mul (local.get $len) (i32.const 12))))
    (local.set $keys (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $data_len)))
    (i32.store (local.get $ends) (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
        (call $parse
          (i32.add (local.get $data) (i32.load (i32.add (local.get $offsets) (i32.shl (local.get $i) (i32.const 2)))))
          (i32.add (local.get $data) (i32.load offset=4 (i32.add (local.get $offsets) (i32.shl (local.get $i) (i32.const 2))))))
        (local.set $reason_len)
        (local.set $reason)
        (if (local.get $reason) (then
          (i32.store (i32.add (local.get $rejected) (i32.mul (local.get $refused) (i32.const 12))) (local.get $i))
          (i32.store offset=4 (i32.add (local.get $rejected) (i32.mul (local.get $refused) (i32.const 12))) (local.get $reason))
          (i32.store offset=8 (i32.add (local.get $rejected) (i32.mul (local.get $refused) (i32.const 12))) (local.get $reason_len))
          (local.set $refused (i32.add (local.get $refused) (i32.const 1))))
        (else
          (memory.copy (i32.add (local.get $keys) (local.get $size)) (global.get $ip)
            (i32.sub (global.get $ip_end) (global.get $ip)))
          (local.set $size (i32.add (local.get $size) (i32.sub (global.get $ip_end) (global.get $ip))))
          (i32.store offset=4 (i32.add (local.get $ends) (i32.shl (local.get $results) (i32.const 2))) (local.get $size))
          (i64.store (i32.add (local.get $times) (i32.shl (local.get $results) (i32.const 3))) (global.get $time))
          (i32.store (i32.add (local.get $sources) (i32.shl (local.get $results) (i32.const 2))) (local.get $i))
          (local.set $results (i32.add (local.get $results) (i32.const 1)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    ;; `output`, none of it to begin with; every record was taken.
    (memory.fill (i32.const 16) (i32.const 0) (i32.const 168))
    (i32.store (i32.const 20) (local.get $len))
    ;; Sources, where a record was refused.
    (if (local.get $refused) (then
      (i32.store (i32.const 24) (i32.const 1))
      (i32.store (i32.const 28) (local.get $sources))
      (i32.store (i32.const 32) (local.get $results))))
    ;; Keys: offsets, data, no validity.
    (i32.store (i32.const 48) (i32.const 1))
    (i32.store (i32.const 52) (local.get $ends))
    (i32.store (i32.const 56) (i32.add (local.get $results) (i32.const 1)))
    (i32.store (i32.const 60) (local.get $keys))
    (i32.store (i32.const 64) (local.get $size))
    ;; Timestamps.
    (i32.store (i32.const 104) (i32.const 1))
    (i32.store (i32.const 108) (local.get $times))
    (i32.store (i32.const 112) (local.get $results))
    (i32.store (i32.const 176) (local.get $rejected))
    (i32.store (i32.const 180) (local.get $refused))
    (i32.const 16))

  ;; The host has read the answer.
  (func (export "cabi_post_millstream:udf/mapper@0.1.0#apply") (param i32)
    (global.set $free (i32.const 1024))))
