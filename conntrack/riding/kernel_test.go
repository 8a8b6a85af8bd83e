package riding

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
)

// The client 10.0.13.222 dials 10.0.1.66 through source NAT to 203.0.113.1.
var (
	clientAddr  = netip.MustParseAddrPort("10.0.13.222:40000")
	serverAddr  = netip.MustParseAddrPort("10.0.1.66:21")
	outsideAddr = netip.MustParseAddrPort("203.0.113.1:40000")
)

// diary is a kernel and a queue that note in which order they are used.
type diary struct {
	did     []string
	seqs    []uint32 // of the messages that rode
	timeout bool     // Create gives another one than was wished for
	id      uint32

	entry conntrack.Entry
	gets  string // the helper of the entry that replaces it
}

func (d *diary) Append(msg []byte) error {
	d.did = append(d.did, "append")
	d.seqs = append(d.seqs, binary.NativeEndian.Uint32(msg[8:]))
	return nil
}

func (d *diary) Flush() error {
	d.did = append(d.did, "flush")
	return nil
}

func (d *diary) Flow(conntrack.Tuple) (conntrack.Flow, error) {
	d.did = append(d.did, "flow")
	return d.entry.Flow, nil
}

func (d *diary) Create(e *conntrack.Expectation) (bool, error) {
	d.did = append(d.did, "create")
	e.ID = d.id
	return d.timeout, nil
}

func (d *diary) Withdraw(conntrack.Expectation) error {
	d.did = append(d.did, "withdraw")
	return nil
}

func (d *diary) Vacate(conntrack.Tuple) (conntrack.Tuple, error) {
	d.did = append(d.did, "vacate")
	return conntrack.Tuple{}, nil
}

func (d *diary) Entry(_ conntrack.Tuple, e *conntrack.Entry) error {
	d.did = append(d.did, "entry")
	*e = d.entry
	return nil
}

func (d *diary) Replace(e *conntrack.Entry, helper string, u conntrack.Update) (conntrack.Flow, error) {
	d.did = append(d.did, "replace")
	d.gets = helper
	return conntrack.Flow{ID: e.ID + 1, Helper: helper, State: u.State, HasState: true}, nil
}

// newDiary returns a kernel over a diary, and what it tells of failures.
func newDiary() (*Kernel, *diary, *[]string) {
	d, told := &diary{id: 9}, &[]string{}
	k := New(d, "ours")
	k.Out = d
	k.Refused = func(t conntrack.Tuple, u conntrack.Update, err error) {
		*told = append(*told, fmt.Sprint("refused ", u.State, errors.Is(err, conntrack.ErrNotFound)))
	}
	k.Failed = func(doing string, err error) { *told = append(*told, doing) }
	return k, d, told
}

func door() conntrack.Expectation {
	return conntrack.Expectation{
		Master: conntrack.Tuple{Src: clientAddr, Dst: serverAddr}, Src: serverAddr.Addr(), Dst: outsideAddr,
		Target: clientAddr, Translate: true, Timeout: 1e10,
	}
}

func TestOnlyWhatDecidesTheNextByteIsWaitedFor(t *testing.T) {
	k, d, _ := newDiary()
	d.timeout = true
	e := door()
	err := errors.Join(
		k.Update(e.Master, conntrack.Update{StateMask: 1, State: 1}), k.Expect(&e), k.Withdraw(e))
	if _, flowErr := k.Flow(e.Master); err != nil || flowErr != nil || e.ID != 9 {
		t.Error(err, flowErr, e.ID)
	}
	want := []string{"append", "create", "append", "append", "flush", "flow"}
	if !slices.Equal(d.did, want) {
		t.Errorf("in this order: %v, want %v", d.did, want)
	}
	e.ID, d.did = 0, nil
	if err := k.Withdraw(e); err != nil || !slices.Equal(d.did, []string{"withdraw"}) {
		t.Errorf("what is withdrawn without an ID is looked up: %v %v", d.did, err)
	}
}

func TestRefusalsAreToldToWhomTheyConcern(t *testing.T) {
	k, d, told := newDiary()
	d.timeout = true
	e := door()
	for i := range 3 {
		if err := k.Update(e.Master, conntrack.Update{StateMask: 15, State: conntrack.State(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Expect(&e); err != nil {
		t.Fatal(err)
	}
	d.did = nil
	k.OnRefused(d.seqs[1], unix.ENOENT)
	k.OnRefused(d.seqs[3], unix.ENOENT) // the door was used: nothing to tell
	k.OnRefused(d.seqs[3], unix.ENOMEM)
	want := []string{fmt.Sprint("refused ", conntrack.State(1), true),
		"set the timeout of an expectation, which is withdrawn"}
	if !slices.Equal(*told, want) || !slices.Equal(d.did, []string{"append"}) {
		t.Errorf("told %q, done %q", *told, d.did)
	}
	for range maxRiding {
		_ = k.Update(e.Master, conntrack.Update{StateMask: 1})
	}
	*told = nil
	k.OnRefused(d.seqs[0], unix.ENOMEM) // too long ago
	if !slices.Equal(*told, []string{"change connection tracking"}) {
		t.Errorf("told %q", *told)
	}
}

func TestAddressesOfTwoVersionsAreSentNowhere(t *testing.T) {
	k, d, _ := newDiary()
	mixed := conntrack.Tuple{Src: clientAddr, Dst: netip.MustParseAddrPort("[2001:db8::1]:21")}
	if err := k.Update(mixed, conntrack.Update{StateMask: 1}); err != nil || len(d.did) != 0 {
		t.Error(d.did, err)
	}
}
