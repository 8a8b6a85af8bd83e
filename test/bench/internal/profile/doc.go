// Package profile tells where the processor time of a program goes: perf takes its stacks, and each counts
// for the part that it is deepest in.
package profile
