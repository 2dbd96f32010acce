// Package memory is where the host puts what it gives to a function: one piece of memory for each call, used again by the
// next. Natively there is no host, and nothing here.
package memory
