package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	bypass = 1 // NFT_QUEUE_FLAG_BYPASS, NFQ_FLAG_BYPASS

	payloadInner = 3 // NFT_PAYLOAD_INNER_HEADER, Linux 5.16

	flagFIN, flagSYN, flagRST, flagACK = 0x01, 0x02, 0x04, 0x10
)

// queueControl queues those packets of connections to the port that ftpalg's own rules queue, in the
// network namespace of the calling thread: by the queue statement or, where the kernel lacks it, by
// the xt target.
func queueControl(port, queue uint16) error {
	native := &expr.Queue{Num: queue, Total: 1, Flag: bypass}
	err := install(port, native)
	if errors.Is(err, unix.ENOENT) {
		info := binary.NativeEndian.AppendUint16(nil, queue) // struct xt_NFQ_info_v3
		info = binary.NativeEndian.AppendUint16(info, 1)
		info = append(binary.NativeEndian.AppendUint16(info, bypass), 0, 0)
		err = install(port, &expr.Target{Name: "NFQUEUE", Rev: 3, Info: (*xt.Unknown)(&info)})
	}
	if err != nil {
		return fmt.Errorf("queueing packets of port %d: %w", port, err)
	}
	return nil
}

func install(port uint16, queue expr.Any) error {
	nft, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetDeadline(time.Now().Add(patience))
	}))
	if err != nil {
		return err
	}
	t := nft.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "bench"})
	accept := nftables.ChainPolicyAccept
	c := nft.AddChain(&nftables.Chain{Table: t, Name: "prerouting", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle, Policy: &accept})
	ours := slices.Concat(control(port), notNew())
	payload := []expr.Any{
		&expr.Payload{DestRegister: 1, Base: payloadInner, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: []byte{0}},
	}
	for _, which := range [][]expr.Any{
		flags(flagFIN|flagRST, expr.CmpOpNeq, 0),
		flags(flagSYN|flagACK, expr.CmpOpEq, flagSYN|flagACK),
		payload,
	} {
		nft.AddRule(&nftables.Rule{Table: t, Chain: c, Exprs: slices.Concat(ours, which, []expr.Any{queue})})
	}
	return nft.Flush()
}

func control(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Ct{Key: expr.CtKeyPROTODST, Register: 1, Direction: 0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
	}
}

func notNew() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, expr.CtStateBitNEW), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
	}
}

func flags(mask byte, op expr.CmpOp, value byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{mask}, Xor: []byte{0}},
		&expr.Cmp{Op: op, Register: 1, Data: []byte{value}},
	}
}
