// Package abi is how the contract's values lie in memory when they pass between host and function: the component model's
// canonical ABI, of the contract's types only. Natively there is no host, and nothing here.
package abi
