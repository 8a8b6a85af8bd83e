package policy

// Reason tells why a decision was taken. The same words stand in logs, metrics
// and the documentation.
type Reason uint8

const (
	None Reason = iota

	// Why a packet or line went on untouched.
	NotTCP
	UnknownFlow
	TwoZones
	OpaqueFlow
	Signed
	Unparsed
	LineTooLong
	OutOfOrder
	OldEntry
	HoldExpired
	HistoryFull
	SeenTwice
	MissedSegments

	// Why a port was not opened.
	NotGreeted
	NotLoggedIn
	LoginUnseen
	NotFTP
	SessionOver
	AuthPending
	AfterEPSVAll
	ForeignAddress
	LowPort
	HighPort
	DeniedPort
	WrongFamily
	Unsolicited
	MixedLineEnds
	NoHelper
	PortTaken
	TableFull
	KernelError
	SessionLimit
	PinholeLimit
	RateLimit
	PipelineLimit
	CommandRate
	LoginRate
	ActiveOff
	PassiveOff
	TLSDenied

	// Why the strict policy kept a command from the server.
	ReplyAwaited
	NoCRLF
	WrongDirection
	OverMaxLine
	TrailingText
	ReadOnly
	FileDenied
	UserDenied
	CommandDenied

	// What became of an open port.
	Superseded
	ServerRefused
	SessionEnded
	Used
	Expired

	NumReasons
)

func (r Reason) String() string { return table[r].label }

// Meaning says in a sentence or two what happened.
func (r Reason) Meaning() string { return table[r].meaning }

// Remedy says what an operator can do about it, if it is not wanted.
func (r Reason) Remedy() string { return table[r].remedy }

// Strict tells whether it is the strict policy that refuses.
func (r Reason) Strict() bool { return r >= ReplyAwaited && r <= CommandDenied }

// Refusal tells whether a line is refused for it.
func (r Reason) Refusal() bool { return r >= NotGreeted && r <= CommandDenied }

// Named returns the reason with this label.
func Named(label string) (Reason, bool) {
	for r := range NumReasons {
		if table[r].label == label {
			return r, true
		}
	}
	return None, false
}
