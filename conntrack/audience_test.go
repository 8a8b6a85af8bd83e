package conntrack

import (
	"testing"
)

func TestWhetherOthersListenIsReadFromTheListOfSockets(t *testing.T) {
	const head = "sk               Eth Pid        Groups   Rmem Wmem Dump Locks Drops Inode\n"
	for _, c := range []struct {
		name, list string
		want, bad  bool
	}{
		{name: "nobody", list: ""},
		{name: "the kernel's own", list: "0000000000000000 12  0          00000000 0 0 0 2 0 87\n"},
		{name: "ours", list: "0000000000000000 12  7          00000007 0 0 0 2 0 87\n"},
		{name: "ours, with a high port id", list: "0000000000000000 12  4294963199 00000007 0 0 0 2 0 87\n"},
		{name: "the same, as older kernels print it",
			list: "0000000000000000 12  -4097      00000007 0 0 0 2 0 87\n"},
		{name: "of another protocol", list: "0000000000000000 0   8          00000007 0 0 0 2 0 87\n"},
		{name: "to other events", list: "0000000000000000 12  8          00000005 0 0 0 2 0 87\n"},
		{name: "others", want: true, list: "0000000000000000 12  7          00000007 0 0 0 2 0 87\n" +
			"0000000000000000 12  8          00000002 0 0 0 2 0 88\n"},
		{name: "in the 31st group too", want: true,
			list: "0000000000000000 12  8          c0000002 0 0 0 2 0 88\n"},
		{name: "a line that is cut", bad: true, list: "0000000000000000 12\n"},
		{name: "no groups", bad: true, list: "0000000000000000 12  8          xyz 0 0 0 2 0 88\n"},
		{name: "no port id", bad: true, list: "0000000000000000 12  x          00000007 0 0 0 2 0 88\n"},
	} {
		got, err := othersListen(head+c.list, FlowUpdate, []uint32{7, 1<<32 - 4097})
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestOthersListenOnlyWhileTheyDoAndInTheSameNamespace(t *testing.T) {
	r, _ := gateway(t)
	ours := listenIn(t, r.Gateway, AllEvents, 1<<20)
	elsewhere := listenIn(t, r.Client, AllEvents, 1<<20)
	defer func() { _ = elsewhere.Close() }()
	asked := func() (others bool) {
		t.Helper()
		r.Gateway.Do(func() {
			var err error
			if others, err = OthersListen(FlowUpdate, ours.PortID()); err != nil {
				t.Error(err)
			}
		})
		return others
	}
	if asked() {
		t.Error("with nobody else others listen")
	}
	theirs := listenIn(t, r.Gateway, FlowNew, 1<<20)
	if asked() {
		t.Error("who listens to beginnings is said to listen to updates")
	}
	if err := theirs.Join(FlowUpdate); err != nil {
		t.Fatal(err)
	}
	if !asked() {
		t.Error("nobody is said to listen")
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if asked() {
		t.Error("others are said to listen when they have gone")
	}
}
