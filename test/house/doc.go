// Package house checks that the module keeps the rules of its house: the size of files
// and functions, the width of lines, gofmt, a comment for each package, which package may
// import which, and what lies at the top. Its tests read the tree and run nothing.
package house
