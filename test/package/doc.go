// Package pack tests what is released: that two builds in different places give the same bytes, and that each
// package has what it should have, with the right modes. `build` and `release` in deploy/package make it.
package pack
