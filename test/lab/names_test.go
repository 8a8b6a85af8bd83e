package lab_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// What `ip netns add` does on a machine on which nobody has called it before.
func firstIPNetnsAdd(t *testing.T) {
	const dir = "/run/netns"
	if unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "") == nil {
		return
	}
	if err := unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
}

func TestNamespacesAreRemovedThoughSomebodyElseMakesTheFirstByIPNetns(t *testing.T) {
	const inside = "FTPALG_TEST_OWN_RUN"
	if os.Getenv(inside) == "" {
		lab.NewT(t) // tells where it cannot
		c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), inside+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	l := lab.NewT(t)
	if _, err := l.Host("a"); err != nil {
		t.Fatal(err)
	}
	firstIPNetnsAdd(t)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), l.Name()) {
		t.Error("a namespace is still mounted")
	}
}
