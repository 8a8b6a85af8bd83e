package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// machine says where it was measured.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	return fmt.Sprintf("%d cores, Linux %s", runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]))
}
