// Command ftpalg is an FTP application level gateway for Linux: it makes active
// and passive FTP work through NAT and firewalls, and opens nothing else.
package main

import (
	"errors"
	"fmt"
	"os"
)

// version is set by the linker in releases.
var version string

func main() { os.Exit(run()) }

func run() int {
	if err := newRoot().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "ftpalg:", err)
		if errors.As(err, new(badConfig)) {
			return 2
		}
		return 1
	}
	return 0
}
