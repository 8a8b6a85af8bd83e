// Command ftpalg is an FTP application level gateway for Linux: it makes active
// and passive FTP work through NAT and firewalls, and opens nothing else.
package main

import (
	"fmt"
	"os"
)

// version is set by the linker in releases.
var version string

func main() { os.Exit(run()) }

func run() int {
	if err := newRoot().Execute(); err != nil {
		if _, silent := err.(exitCode); !silent {
			fmt.Fprintln(os.Stderr, "ftpalg:", err)
		}
		return codeOf(err)
	}
	return 0
}
