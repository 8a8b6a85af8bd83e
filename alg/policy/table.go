package policy

// table has a row for each reason: its label in logs and metrics, what it means, and what to do.
var table = [NumReasons]struct{ label, meaning, remedy string }{
	None: {"none", "Nothing was refused.", ""},
	NotTCP: {
		"not_tcp",
		"The packet is not a whole TCP segment: another protocol, a fragment, or cut short.",
		"Nothing: it went on as it was.",
	},
	UnknownFlow: {
		"unknown_flow",
		"Connection tracking has no entry for the packet's connection.",
		"Look for a notrack rule on the port, for conntrack zones that are not configured (see zones), and " +
			"whether the table of connections is full.",
	},
	TwoZones: {
		"two_zones",
		"The same addresses are in use in two conntrack zones, and the kernel does not tell of which one " +
			"the packet is. Neither connection is touched.",
		"Use a kernel with CONFIG_NETFILTER_NETLINK_GLUE_CT, which tells, or other addresses.",
	},
	OpaqueFlow: {
		"opaque",
		"The session went over to TLS or speaks another protocol; nothing of it is read.",
		"For FTPS open a fixed range of ports on the server, or use tls: deny.",
	},
	Signed: {
		"signed",
		"The segment is signed (TCP-MD5 or TCP-AO) and cannot be changed.",
		"Nothing opens for such sessions; leave their port out of the configuration.",
	},
	Unparsed: {
		"unparsed",
		"The line looks like a PORT, EPRT, 227 or 229 but has no valid address.",
		"Nothing: the other side answers it with an error of its own.",
	},
	LineTooLong: {
		"line_too_long",
		"The line is longer than any command.",
		"Nothing, unless a client you know sends it: report it.",
	},
	OutOfOrder: {
		"out_of_order",
		"The packet came before what precedes it. It waits, or is sent again by its sender.",
		"Nothing, if it is rare: packets overtake each other. Else look for loss before the gateway.",
	},
	OldEntry: {
		"old_entry",
		"The packet waited in the queue while another program wrote or replaced its entry: dropped.",
		"Nothing: its sender sends it again.",
	},
	HoldExpired: {
		"hold_expired",
		"What precedes the packet never came; the receiver was asked what it has.",
		"Look for loss before the gateway, and for another path that packets take.",
	},
	HistoryFull: {
		"history_full",
		"More is on its way unacknowledged than is remembered; the rest waits with its sender.",
		"Nothing: it is sent again. One session alone does this with a very long reply.",
	},
	SeenTwice: {
		"seen_twice",
		"The packet came through the queue twice, the second time as it was changed before.",
		"Nothing: a bridge passes its packets to the IP hooks. bridge-nf-call-iptables=0 saves the detour.",
	},
	MissedSegments: {
		"missed_segments",
		"The receiver has bytes that this gateway never saw.",
		"Look at the queue's counters (was it full?), and for another path that packets take.",
	},
	NotGreeted: {
		"not_greeted",
		"The server has not greeted the client, or not with a 2xx reply.",
		"Look at what the server says first.",
	},
	NotLoggedIn: {
		"not_logged_in",
		"The server has not accepted a login.",
		"Log in first; look at the replies to USER and PASS.",
	},
	LoginUnseen: {
		"login_unseen",
		"The session is older than this program, and its greeting or its login was not seen.",
		"Connect again, or set trust_running: true.",
	},
	NotFTP: {
		"not_ftp",
		"The client spoke another protocol on this connection.",
		"Nothing, unless it is FTP all the same: report the first line.",
	},
	SessionOver: {
		"session_over",
		"The server said goodbye (221, 421), or the connection ended.",
		"Connect again.",
	},
	AuthPending: {
		"auth_pending",
		"AUTH waits for its reply; what follows it may be meant for inside TLS.",
		"The client must wait for the reply to AUTH.",
	},
	AfterEPSVAll: {
		"after_epsv_all",
		"Only EPSV may follow EPSV ALL (RFC 2428).",
		"The client must keep its word.",
	},
	ForeignAddress: {
		"foreign_address",
		"The address in the line is not the sender's own.",
		"For a server that knows itself by another address, any_passive_address; for transfers between " +
			"servers, fxp_networks.",
	},
	LowPort:    {"low_port", "The port is below the lowest one allowed.", "See min_port."},
	HighPort:   {"high_port", "The port is above the highest one allowed.", "See max_port."},
	DeniedPort: {"denied_port", "The port is one that no data connection may have.", "See deny_ports."},
	WrongFamily: {
		"wrong_family",
		"The address is of the other IP version.",
		"The client must name an address of the control connection's version.",
	},
	Unsolicited: {
		"unsolicited",
		"A 227 or 229 came that no PASV or EPSV asked for.",
		"Look at the server; nothing opens for it.",
	},
	MixedLineEnds: {
		"mixed_line_ends",
		"The command came behind a bare line feed, as smuggled ones do.",
		"The client must end every line alike.",
	},
	NoHelper: {
		"no_helper",
		"The connection has no conntrack helper: it is older than the rules, or other rules gave it none. " +
			"Its entry was not replaced: adopt is false, or something was on its way or hung on it.",
		"Try again, or connect again; see adopt, and whether ftpalg's table is in force.",
	},
	PortTaken: {
		"port_taken",
		"No free port was found.",
		"Widen port_range, or look for what holds so many.",
	},
	TableFull: {
		"table_full",
		"The kernel's table of expectations is full.",
		"Raise nf_conntrack_expect_max.",
	},
	KernelError: {
		"kernel_error",
		"The kernel refused a request.",
		"See the log line that says which and why.",
	},
	SessionLimit: {
		"session_limit",
		"The client has too many control connections.",
		"See limits.per_client.sessions.",
	},
	PinholeLimit: {
		"pinhole_limit",
		"Too many ports wait for their connection.",
		"See limits.per_client.open and limits.total.open.",
	},
	RateLimit: {
		"rate_limit",
		"Too many ports were opened within a minute.",
		"See limits.per_client.new_per_minute and limits.total.new_per_minute.",
	},
	PipelineLimit: {
		"pipeline_limit",
		"Too many commands wait for their replies.",
		"The client must wait for replies now and then.",
	},
	CommandRate: {
		"command_rate",
		"The client sends too many commands a second.",
		"See limits.per_client.commands_per_second.",
	},
	LoginRate: {
		"login_rate",
		"Too many logins of the client failed within a minute.",
		"See limits.per_client.failed_logins_per_minute.",
	},
	ActiveOff:    {"active_off", "Active mode is switched off.", "See active."},
	PassiveOff:   {"passive_off", "Passive mode is switched off.", "See passive."},
	TLSDenied:    {"tls_denied", "AUTH is not allowed.", "See tls."},
	ReplyAwaited: {"reply_awaited", "Another command waits for its reply.", "See strict.wait_for_reply."},
	NoCRLF:       {"no_crlf", "The line has a line feed or carriage return alone.", "See strict.need_crlf."},
	WrongDirection: {
		"wrong_direction",
		"The server sent a PORT, or the client a 227.",
		"See strict.direction.",
	},
	OverMaxLine:   {"over_max_line", "The line is longer than allowed.", "See strict.max_line."},
	TrailingText:  {"trailing_text", "There is too much text behind the port.", "See strict.max_trailing."},
	ReadOnly:      {"read_only", "The command changes files.", "See strict.read_only."},
	FileDenied:    {"file_denied", "The command names a file that is denied.", "See strict.deny_files."},
	UserDenied:    {"user_denied", "The user may not log in.", "See strict.deny_users."},
	CommandDenied: {"command_denied", "The command is not allowed.", "See strict.allow and strict.deny."},
	Superseded:    {"superseded", "Another PORT or PASV came; the last one counts.", "Nothing."},
	ServerRefused: {"server_refused", "The server answered with an error.", "Look at the server's reply."},
	SessionEnded:  {"session_ended", "The control connection ended.", "Nothing."},
	Used:          {"used", "The expected connection came.", "Nothing."},
	Expired: {
		"expired",
		"The expected connection did not come in time.",
		"Look at the other side's firewall, and whether the address in the line is reachable: " +
			"external_address.",
	},
}
