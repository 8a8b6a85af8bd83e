// Package build builds ftpalg from this checkout for the tests of a package that run it.
package build
