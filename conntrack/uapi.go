package conntrack

// Numbers of include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
// and nfnetlink_cthelper.h, which golang.org/x/sys does not have.
const (
	subsysConntrack = 1 << 8 // NFNL_SUBSYS_CTNETLINK
	subsysExpect    = 2 << 8 // NFNL_SUBSYS_CTNETLINK_EXP
	subsysHelper    = 9 << 8 // NFNL_SUBSYS_CTHELPER

	msgNew    = 0
	msgGet    = 1
	msgDelete = 2
)

const ( // enum ctattr_type
	ctaTupleOrig     = 1
	ctaTupleReply    = 2
	ctaStatus        = 3
	ctaProtoInfo     = 4
	ctaHelp          = 5
	ctaNATSrc        = 6
	ctaTimeout       = 7
	ctaMark          = 8
	ctaCountersOrig  = 9
	ctaCountersReply = 10
	ctaID            = 12
	ctaNATDst        = 13
	ctaTupleMaster   = 14
	ctaSeqAdjOrig    = 15
	ctaSeqAdjReply   = 16
	ctaZone          = 18
	ctaTimestamp     = 20
	ctaLabels        = 22
	ctaLabelsMask    = 23
	ctaSynProxy      = 24
)

const ( // enum ctattr_tuple, ctattr_ip, ctattr_l4proto
	ctaTupleIP    = 1
	ctaTupleProto = 2
	ctaTupleZone  = 3

	ctaIPv4Src = 1
	ctaIPv4Dst = 2
	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum     = 1
	ctaProtoSrcPort = 2
	ctaProtoDstPort = 3
)

const ( // enum ctattr_protoinfo, ctattr_protoinfo_tcp
	ctaProtoInfoTCP  = 1
	ctaTCPState      = 1
	ctaTCPScaleOrig  = 2
	ctaTCPScaleReply = 3
	ctaTCPFlagsOrig  = 4
	ctaTCPFlagsReply = 5

	tcpWindowScale = 0x01 // IP_CT_TCP_FLAG_WINDOW_SCALE
	tcpSACK        = 0x02 // IP_CT_TCP_FLAG_SACK_PERM
	tcpCloseInit   = 0x04 // IP_CT_TCP_FLAG_CLOSE_INIT
	tcpBeLiberal   = 0x08 // IP_CT_TCP_FLAG_BE_LIBERAL
)

const ( // enum ctattr_counters, ctattr_tstamp, ctattr_nat, ctattr_protonat
	ctaCountersPackets = 1
	ctaCountersBytes   = 2

	ctaTimestampStart = 1
	ctaTimestampStop  = 2

	ctaNATv4MinIP = 1
	ctaNATv4MaxIP = 2
	ctaNATProto   = 3
	ctaNATv6MinIP = 4
	ctaNATv6MaxIP = 5

	ctaProtoNATPortMin = 1
	ctaProtoNATPortMax = 2
)

const ( // enum ctattr_seqadj, ctattr_help
	ctaSeqAdjPos    = 1
	ctaSeqAdjBefore = 2
	ctaSeqAdjAfter  = 3

	ctaHelpName = 1
)

const ( // enum ctattr_expect, ctattr_expect_nat
	expMaster  = 1
	expTuple   = 2
	expMask    = 3
	expTimeout = 4
	expID      = 5
	expHelper  = 6
	expZone    = 7
	expFlags   = 8
	expClass   = 9
	expNAT     = 10
	expFn      = 11

	expNATDir   = 1
	expNATTuple = 2
)

const ( // enum nfnl_cthelper_type, _tuple_type, _policy_type, _pol_type
	cthName        = 1
	cthTuple       = 2
	cthPolicy      = 4
	cthPrivDataLen = 5
	cthStatus      = 6

	cthTupleL3 = 1
	cthTupleL4 = 2

	cthPolicySetNum = 1
	cthPolicySet1   = 2

	cthPolicyName    = 1
	cthPolicyMax     = 2
	cthPolicyTimeout = 3

	cthStatusDisabled = 0
)
