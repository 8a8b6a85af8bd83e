package ruleset

import (
	"testing"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// TestDirectionIsAByte follows a rule down to the attribute: the kernel writes to its log of one that has
// another length, each time that the rules are installed.
func TestDirectionIsAByte(t *testing.T) {
	for i, key := range []expr.CtKey{expr.CtKeySRC, expr.CtKeyDST, expr.CtKeyPROTOSRC, expr.CtKeyPROTODST} {
		var b batch
		direction := byte(i % 2)
		b.addRule("t", "c", []expr.Any{&expr.Ct{Key: key, Register: 1, Direction: uint32(direction)}})
		got := b.messages[0].body
		for _, typ := range []uint16{unix.NFTA_RULE_EXPRESSIONS, unix.NFTA_LIST_ELEM, unix.NFTA_EXPR_DATA,
			unix.NFTA_CT_DIRECTION} {
			got = attribute(t, got, typ)
		}
		if len(got) != 1 || got[0] != direction {
			t.Errorf("direction %d of key %d is written as %v", direction, key, got)
		}
	}
}

func attribute(t *testing.T, b []byte, typ uint16) []byte {
	t.Helper()
	all, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Type&^unix.NLA_F_NESTED == typ {
			return a.Data
		}
	}
	t.Fatalf("no attribute %d", typ)
	return nil
}
