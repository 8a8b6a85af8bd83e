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
	for direction := range byte(2) {
		var b batch
		port := &expr.Ct{Key: expr.CtKeyPROTODST, Register: 1, Direction: uint32(direction)}
		b.addRule("t", "c", []expr.Any{port})
		got := b.messages[0].body
		for _, typ := range []uint16{unix.NFTA_RULE_EXPRESSIONS, unix.NFTA_LIST_ELEM, unix.NFTA_EXPR_DATA,
			unix.NFTA_CT_DIRECTION} {
			got = attribute(t, got, typ)
		}
		if len(got) != 1 || got[0] != direction {
			t.Errorf("direction %d is written as %v", direction, got)
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
