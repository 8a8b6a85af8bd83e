package lab

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// prepareNames makes of the directory of namespaces what `ip netns add` makes of it: a mount of its own,
// which other mount namespaces share (netns_add in iproute2's ip/ipnetns.c). Whoever calls that for the first
// time on a machine would mount the directory over itself otherwise, with all in it, and what is there could
// not be removed any more.
var prepareNames = sync.OnceValue(func() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return fmt.Errorf("making the directory of namespaces: %w", err)
	}
	d, err := os.Open(netnsDir)
	if err != nil {
		return fmt.Errorf("opening the directory of namespaces: %w", err)
	}
	defer d.Close()
	// Two at once would mount it twice; ip netns takes the same lock.
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking the directory of namespaces: %w", err)
	}
	share := func() error { return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err = share()
	if errors.Is(err, unix.EINVAL) { // it is not a mount yet
		if err = unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = share()
		}
	}
	if errors.Is(err, unix.EPERM) {
		return nil // what needs the right says it better
	}
	if err != nil {
		return fmt.Errorf("mounting the directory of namespaces as ip netns does: %w", err)
	}
	return nil
})
