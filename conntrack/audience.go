package conntrack

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// audience is where the kernel lists the netlink sockets of a network namespace
// (netlink_native_seq_show in net/netlink/af_netlink.c).
const audience = "/proc/thread-self/net/netlink"

// OthersListen tells whether any socket in the network namespace of the calling thread, but for those with
// the netlink port ids own, hears of one of the kinds of events, as what replicates entries to another
// gateway does. The kernel makes those events then in any case.
func OthersListen(kinds Kind, own ...uint32) (bool, error) {
	b, err := os.ReadFile(audience)
	var others bool
	if err == nil {
		others, err = othersListen(string(b), kinds, own)
	}
	if err != nil {
		return false, fmt.Errorf("look who listens to conntrack events: %w", err)
	}
	return others, nil
}

func othersListen(list string, kinds Kind, own []uint32) (bool, error) {
	wanted := kinds.groups()
	_, list, _ = strings.Cut(list, "\n") // the names of the columns
	for line := range strings.Lines(list) {
		// sk Eth Pid Groups …: the protocol, the port id, and the first 32 groups in hexadecimal digits
		f := strings.Fields(line)
		if len(f) < 4 {
			return false, fmt.Errorf("%s: %q", audience, line)
		}
		if f[1] != strconv.Itoa(unix.NETLINK_NETFILTER) {
			continue
		}
		id, err := strconv.ParseInt(f[2], 10, 64)
		joined, err2 := strconv.ParseUint(f[3], 16, 32)
		if err := errors.Join(err, err2); err != nil {
			return false, fmt.Errorf("%s: %w", audience, err)
		}
		if uint32(joined)&wanted != 0 && !slices.Contains(own, uint32(id)) {
			return true, nil
		}
	}
	return false, nil
}
