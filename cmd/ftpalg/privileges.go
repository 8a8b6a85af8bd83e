package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restricted marks the environment of the program that restrictAndExec starts.
const restricted = "FTPALG_RESTRICTED=1"

const netAdmin = 1 << unix.CAP_NET_ADMIN

// keepNetAdmin gives up every capability but CAP_NET_ADMIN, and the way to get
// others, before anything is done: what works then works for good.
func keepNetAdmin() error {
	err := restrict(func(trap, a1, a2, a3 uintptr) syscall.Errno {
		_, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0)
		return errno
	})
	if errors.Is(err, syscall.ENOTSUP) {
		return restrictAndExec()
	}
	return err
}

// restrictAndExec is the way in a program built with cgo, where the Go runtime does
// not know all threads: one is restricted and becomes the whole program anew.
func restrictAndExec() error {
	held, err := capabilities()
	if err != nil {
		return err
	}
	if held&^netAdmin == 0 {
		return nil
	}
	if slices.Contains(os.Environ(), restricted) {
		return errors.New("cannot give up capabilities: start it with CAP_SETPCAP or with CAP_NET_ADMIN " +
			"alone, or build it with CGO_ENABLED=0")
	}
	runtime.LockOSThread()
	err = restrict(func(trap, a1, a2, a3 uintptr) syscall.Errno {
		_, _, errno := syscall.RawSyscall6(trap, a1, a2, a3, 0, 0, 0)
		return errno
	})
	if err != nil {
		return err
	}
	return fmt.Errorf("start anew with fewer capabilities: %w",
		syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), restricted)))
}

// What the kernel reads and writes; variables of the package do not move.
var (
	capHeader = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	capData   [2]unix.CapUserData // of capabilities 0 to 31, and of the rest
)

// capabilities returns those that the calling thread may use.
func capabilities() (uint64, error) {
	if err := unix.Capget(&capHeader, &capData[0]); err != nil {
		return 0, fmt.Errorf("read the capabilities: %w", err)
	}
	return uint64(capData[1].Permitted)<<32 | uint64(capData[0].Permitted), nil
}

// restrict sets no_new_privs, empties the bounding set but for CAP_NET_ADMIN, and
// drops the capabilities, by the system calls that call makes.
func restrict(call func(trap, a1, a2, a3 uintptr) syscall.Errno) error {
	if errno := call(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); errno != 0 {
		return fmt.Errorf("set no_new_privs: %w", errno)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if c == unix.CAP_NET_ADMIN {
			continue
		}
		errno := call(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
		if errno == syscall.EPERM || errno == syscall.EINVAL {
			break // no CAP_SETPCAP, or an older kernel, which has fewer
		}
		if errno != 0 {
			return fmt.Errorf("shrink the bounding set: %w", errno)
		}
	}
	held, err := capabilities()
	if err != nil {
		return err
	}
	if held&^netAdmin == 0 {
		return nil // a service manager has seen to it, and may forbid capset
	}
	kept := uint32(held & netAdmin)
	capData = [2]unix.CapUserData{{Effective: kept, Permitted: kept}}
	if errno := call(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&capHeader)),
		uintptr(unsafe.Pointer(&capData[0])), 0); errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}
