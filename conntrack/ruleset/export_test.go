package ruleset

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

var self, _ = Self()

// Install and Remove are for tests that need the rules and no more.
func Install(c Config) error { return with(c.Table, func(t *Table) error { return t.Install(c) }) }

// Remove is the contrary of Install.
func Remove(table string) error { return with(table, (*Table).Remove) }

func with(name string, f func(*Table) error) error {
	if name == "" {
		name = DefaultTable
	}
	t, err := Open(name, self, nil)
	if err != nil {
		return err
	}
	return errors.Join(f(t), t.Close())
}

// ShrinkBuffer makes the watch lose events.
func (w *Watch) ShrinkBuffer(t *testing.T) {
	t.Helper()
	raw, err := w.events.file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ChainHandles returns the kernel's number of each chain: another chain has another.
func (t *Table) ChainHandles() (map[string]uint64, error) {
	handles := map[string]uint64{}
	err := t.sock.dump(unix.NFT_MSG_GETCHAIN, t.name, func(b []byte) {
		name := text(nlread.Attr(b, unix.NFTA_CHAIN_NAME))
		handles[name] = nlread.U64(nlread.Attr(b, unix.NFTA_CHAIN_HANDLE))
	})
	return handles, err
}

// HelperHandle is the number that the kernel gives the table's object for a helper; 0: there is none.
func (t *Table) HelperHandle() (handle uint64, err error) {
	const handleOf = 6 // NFTA_OBJ_HANDLE
	err = t.sock.dump(unix.NFT_MSG_GETOBJ, t.name, func(b []byte) {
		if o := parseObject(b); o.name == helperObject {
			handle = nlread.U64(nlread.Attr(b, handleOf))
		}
	})
	return handle, err
}

// Generation is another one with each change of the ruleset.
func (t *Table) Generation() (uint32, error) { return t.sock.generation() }

// BitNumber is what nft calls a bit of the state on a machine of the given byte order.
func BitNumber(s conntrack.State, order binary.ByteOrder) int { return bitNumber(s, order) }
