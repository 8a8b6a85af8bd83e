// Package build tells what the program was built from.
package build
