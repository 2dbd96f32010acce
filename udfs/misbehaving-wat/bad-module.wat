;; A core module, as compilers make it before it is turned into a component.
(module
  (memory (export "memory") 1)
  (func (export "keep") (param i32 i32) (result i32) (i32.const 0)))
