package alg

// Verdict is what happens to a packet.
type Verdict uint8

const (
	Accept  Verdict = iota // goes on as it is
	Rewrite                // goes on with the bytes that Handle returned
	Hold                   // waits for the packets before it; its verdict comes later
	Drop                   // never to be sent: a held packet whose connection ended
)

// Verdicts are the labels of the verdicts in metrics.
var Verdicts = [...]string{"accept", "rewrite", "hold", "drop"}

func (v Verdict) String() string { return Verdicts[v] }

// Reason tells why a decision was taken. The same words stand in logs, metrics
// and the documentation.
type Reason uint8

const (
	None Reason = iota

	// Why a packet or line went on untouched.
	NotTCP         // not a whole TCP segment
	UnknownFlow    // conntrack has no entry for it
	OpaqueFlow     // TLS, or another protocol
	Signed         // TCP-MD5 or TCP-AO: cannot be changed
	Unparsed       // looks like a PORT, EPRT, 227 or 229 but has no valid address
	LineTooLong    // longer than any command
	OutOfOrder     // came before what precedes it
	HoldExpired    // what precedes it never came
	MissedSegments // the receiver has bytes that we never saw

	// Why a port was not opened.
	NotGreeted     // the server never sent 220
	NotLoggedIn    // the server has not accepted a login
	NotFTP         // the client spoke another protocol
	SessionOver    // after 221 or 421
	AfterEPSVAll   // only EPSV may follow EPSV ALL
	ForeignAddress // the address is not the sender's own
	LowPort        // below the lowest port allowed
	WrongFamily    // an address of the other IP version
	Unsolicited    // 227 or 229 without PASV or EPSV
	MixedLineEnds  // a command smuggled in behind a bare line feed
	NoHelper       // the entry has no helper: the session is older than the rules
	PortTaken      // no free port found
	TableFull      // the kernel's expectation table is full
	KernelError    // netlink failed
	SessionLimit   // too many control connections of this client network
	PinholeLimit   // too many open ports of this client network
	RateLimit      // too many new ports a minute
	ActiveOff      // active mode is switched off
	PassiveOff     // passive mode is switched off
	TLSDenied      // AUTH is not allowed

	// Why the strict policy kept a command from the server.
	ReplyAwaited   // another waits for its reply
	NoCRLF         // it has a line feed or carriage return alone
	WrongDirection // PORT from the server, or 227 from the client
	OverMaxLine    // longer than allowed
	TrailingText   // too much behind the port
	ReadOnly       // it changes files
	FileDenied     // it names such a file
	UserDenied     // it names such a user
	CommandDenied  // it is not allowed at all

	// Why an open port was closed again.
	Superseded    // another PORT or PASV came
	ServerRefused // the server answered with an error
	SessionEnded  // the control connection ended

	numReasons
)

// Reasons are the labels of the reasons.
var Reasons = [numReasons]string{
	None: "none", NotTCP: "not_tcp", UnknownFlow: "unknown_flow", OpaqueFlow: "opaque", Signed: "signed",
	Unparsed: "unparsed", LineTooLong: "line_too_long", OutOfOrder: "out_of_order", HoldExpired: "hold_expired", MissedSegments: "missed_segments",
	NotGreeted: "not_greeted", NotLoggedIn: "not_logged_in", NotFTP: "not_ftp", SessionOver: "session_over", AfterEPSVAll: "after_epsv_all",
	ForeignAddress: "foreign_address", LowPort: "low_port", WrongFamily: "wrong_family", Unsolicited: "unsolicited", MixedLineEnds: "mixed_line_ends",
	NoHelper: "no_helper", PortTaken: "port_taken", TableFull: "table_full", KernelError: "kernel_error",
	SessionLimit: "session_limit", PinholeLimit: "pinhole_limit", RateLimit: "rate_limit", ActiveOff: "active_off", PassiveOff: "passive_off",
	TLSDenied:    "tls_denied",
	ReplyAwaited: "reply_awaited", NoCRLF: "no_crlf", WrongDirection: "wrong_direction", OverMaxLine: "over_max_line", TrailingText: "trailing_text",
	ReadOnly: "read_only", FileDenied: "file_denied", UserDenied: "user_denied", CommandDenied: "command_denied",
	Superseded: "superseded", ServerRefused: "server_refused", SessionEnded: "session_ended",
}

func (r Reason) String() string { return Reasons[r] }

// strict tells whether it is the strict policy that refuses.
func (r Reason) strict() bool { return r >= ReplyAwaited && r <= CommandDenied }
