;; What a core module finds where it asks for WASI preview 1: a machine without anything on it, in the module's own memory
;; and without an import. Standard libraries start and run on it; what they would learn is nothing, and the same everywhere.
;;
;; - no arguments, no environment, no folders; standard input is at its end, what is printed is swallowed
;; - the wall clock stands at 1970; the monotonic one is 1 µs further at each look, and waiting moves it to what is waited for
;; - random numbers are a fixed stream
;; - ending the program traps
;;
;; Unlike the host's own WASI 0.2 (ADR 0004) it cannot begin anew in each call. Numbers are WASI's `errno`.
(module
  (import "env" "memory" (memory 0))

  (global $now (mut i64) (i64.const 0))
  (global $random (mut i64) (i64.const 0x2545F4914F6CDD1D))

  ;; 8: no such descriptor, unless it is standard input, output or error.
  (func $standard (param $fd i32) (result i32)
    (select (i32.const 0) (i32.const 8) (i32.lt_u (local.get $fd) (i32.const 3))))

  (func $none (param $first i32) (param $second i32) (result i32)
    (i32.store (local.get $first) (i32.const 0))
    (i32.store (local.get $second) (i32.const 0))
    (i32.const 0))

  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  (func (export "clock_res_get") (param $clock i32) (param $into i32) (result i32)
    (i64.store (local.get $into) (i64.const 1000))
    (i32.const 0))
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $into i32) (result i32)
    (if (i32.eqz (local.get $clock))
      (then (i64.store (local.get $into) (i64.const 0)))
      (else
        (global.set $now (i64.add (global.get $now) (i64.const 1000)))
        (i64.store (local.get $into) (global.get $now))))
    (i32.const 0))

  ;; xorshift64 (Marsaglia 2003), a byte at a time.
  (func (export "random_get") (param $into i32) (param $len i32) (result i32)
    (local $x i64)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $len)))
        (local.set $x (global.get $random))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
        (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
        (global.set $random (local.get $x))
        (i64.store8 (local.get $into) (i64.shr_u (local.get $x) (i64.const 32)))
        (local.set $into (i32.add (local.get $into) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $more)))
    (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) (unreachable))
  (func (export "proc_raise") (param i32) (result i32) (unreachable))

  ;; One event: a descriptor that is asked for is ready before any clock; else the clock that is due first, and it is that late then.
  (func (export "poll_oneoff") (param $asked i32) (param $events i32) (param $count i32) (param $happened i32) (result i32)
    (local $best i32) (local $best_due i64) (local $due i64) (local $fd i32)
    (if (i32.eqz (local.get $count)) (then (return (i32.const 28))))
    (block $found
      (loop $next
        (local.set $due (i64.load offset=24 (local.get $asked)))
        ;; A time that is not counted from now.
        (if (i32.and (i32.load16_u offset=40 (local.get $asked)) (i32.const 1))
          (then
            (local.set $due (select
              (i64.sub (local.get $due) (global.get $now))
              (i64.const 0)
              (i64.gt_u (local.get $due) (global.get $now))))))
        (if (i32.load8_u offset=8 (local.get $asked))
          (then
            (local.set $best (local.get $asked))
            (local.set $best_due (i64.const 0))
            (br $found)))
        (if (i32.or (i32.eqz (local.get $best)) (i64.lt_u (local.get $due) (local.get $best_due)))
          (then
            (local.set $best (local.get $asked))
            (local.set $best_due (local.get $due))))
        (local.set $asked (i32.add (local.get $asked) (i32.const 48)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br_if $next (local.get $count))))
    (global.set $now (i64.add (global.get $now) (local.get $best_due)))
    (local.set $fd (i32.load8_u offset=8 (local.get $best)))
    (i64.store (local.get $events) (i64.load (local.get $best)))
    (i64.store offset=8 (local.get $events) (i64.const 0))
    (i32.store8 offset=10 (local.get $events) (local.get $fd))
    (i64.store offset=16 (local.get $events) (i64.const 0))
    (i64.store offset=24 (local.get $events) (i64.const 0))
    (i32.store (local.get $happened) (i32.const 1))
    (i32.const 0))

  ;; The bytes of all buffers count as written.
  (func (export "fd_write") (param $fd i32) (param $buffers i32) (param $count i32) (param $written i32) (result i32)
    (local $bytes i32)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $bytes (i32.add (local.get $bytes) (i32.load offset=4 (local.get $buffers))))
        (local.set $buffers (i32.add (local.get $buffers) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $more)))
    (i32.store (local.get $written) (local.get $bytes))
    (call $standard (local.get $fd)))
  (func (export "fd_read") (param $fd i32) (param i32 i32) (param $read i32) (result i32)
    (i32.store (local.get $read) (i32.const 0))
    (call $standard (local.get $fd)))
  (func (export "fd_close") (param $fd i32) (result i32) (call $standard (local.get $fd)))
  ;; A character device, as a terminal is.
  (func (export "fd_fdstat_get") (param $fd i32) (param $into i32) (result i32)
    (i64.store (local.get $into) (i64.const 2))
    (i64.store offset=8 (local.get $into) (i64.const 0))
    (i64.store offset=16 (local.get $into) (i64.const 0))
    (call $standard (local.get $fd)))
  (func (export "fd_fdstat_set_flags") (param $fd i32) (param i32) (result i32) (call $standard (local.get $fd)))

  ;; No other descriptor exists, so these have nothing to work on.
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_datasync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_renumber") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_tell") (param i32 i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_send") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8)))
