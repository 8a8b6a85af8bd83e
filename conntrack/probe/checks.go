package probe

// Check is a row of the table of checks: what stands under an id.
type Check struct {
	ID      string // stays, whatever the name becomes
	Name    string
	Meaning string // what is looked at, and why
	Remedy  string // what to do in general; an item says what to do here. Empty: nothing
}

// Ids of what is looked for.
const (
	idKernelRelease = "kernel_release"
	idPacketQueue   = "packet_queue"
	idQueueNumber   = "queue_number"
	idNftables      = "nftables"
	idCTLabels      = "conntrack_labels"
	idNative        = "queue_statement"
	idTarget        = "queue_target"
	idQueueing      = "queueing_rule"
	idHash          = "connection_hash"
	idInner         = "payload_match"
	idCarrier       = "carrier_helper"
	idOwnHelper     = "own_helper"
	idHelper        = "conntrack_helper"
	idInstance      = "instance"
	idEntries       = "conntrack_entries"
	idSeqAdj        = "sequence_adjustment"
	idExpectations  = "expectations"
	idTranslated    = "translated_expectations"
	idAutomatic     = "automatic_helpers"
	idRulesRead     = "rules_read"
	idFTPHelper     = "kernel_ftp_helper"
	idNotrack       = "notrack"
	idRelated       = "related_accept"
	idLabels        = "labels"
	idZones         = "zones"
	idFlowtables    = "flowtables"
	idLegacy        = "legacy_iptables"
	idPair          = "masquerade_pair"
	idPickUp        = "pickup_pair"
	idDockerProxy   = "docker_proxy"
	idCilium        = "cilium"
	idIPv4          = "ipv4_forwarding"
	idIPv6          = "ipv6_forwarding"
	idReversePath   = "reverse_path_filter"
	idEvents        = "events"
	idBytes         = "bytes"
	idTable         = "conntrack_table"
	idExpectTable   = "expectation_table"
)

var checks = []Check{
	{
		idKernelRelease, "kernel",
		"The release of the kernel that runs.",
		"",
	},
	{
		idPacketQueue, "packet queue",
		"Control connections come to the program by nfnetlink_queue.",
		"Load or build nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE).",
	},
	{
		idQueueNumber, "queue number",
		"One program can have a queue. If another one has ours, ftpalg cannot start.",
		"If it is not ftpalg itself, set queue to another number.",
	},
	{
		idNftables, "nftables",
		"The rules that lead packets to ftpalg stand in a table of nftables.",
		"Load or build nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET).",
	},
	{
		idCTLabels, "conntrack labels",
		"What ftpalg knows of a session outlives it in the label of its connection.",
		"Build the kernel with CONFIG_NF_CONNTRACK_LABELS and CONFIG_NFT_CT.",
	},
	{
		idNative, "queue statement",
		"The statement of nftables that queues packets.",
		"Nothing if the NFQUEUE target is there.",
	},
	{
		idTarget, "NFQUEUE target",
		"The target of xtables that queues packets, used where the statement is missing.",
		"Nothing if the queue statement is there.",
	},
	{
		idQueueing, "queueing rule",
		"One of the two ways to queue packets must be there.",
		"Load nft_queue (CONFIG_NFT_QUEUE), or nft_compat and xt_NFQUEUE.",
	},
	{
		idHash, "connection hash",
		"nftables can spread connections over several workers.",
		"Nothing: one worker does the work.",
	},
	{
		idInner, "payload match",
		"nftables can tell segments with payload from pure acknowledgements.",
		"Nothing: Linux 5.16 has it, and saves some work by it.",
	},
	{
		idCarrier, "carrier helper",
		"A helper of the kernel's whose module carries ftpalg's expectations.",
		"Load nf_conntrack_sane; else a helper of our own is used, if there can be one.",
	},
	{
		idOwnHelper, "own helper",
		"A program can register a conntrack helper.",
		"Load nfnetlink_cthelper (CONFIG_NF_CT_NETLINK_HELPER).",
	},
	{
		idHelper, "conntrack helper",
		"Without a helper on the control connection no data connection can be expected.",
		"Load nf_conntrack_sane or nfnetlink_cthelper.",
	},
	{
		idInstance, "running ftpalg",
		"Whose table is in force, whether that process runs and has its queue.",
		"Start ftpalg, or look into the log of the one that runs.",
	},
	{
		idEntries, "conntrack entries",
		"ftpalg reads and changes the entries of connections by ctnetlink.",
		"Load or build nf_conntrack_netlink (CONFIG_NF_CT_NETLINK).",
	},
	{
		idSeqAdj, "sequence adjustment",
		"The kernel keeps by how much a rewritten stream has grown.",
		"Build the kernel with CONFIG_NF_NAT.",
	},
	{
		idExpectations, "expectations",
		"The kernel takes the data connection that ftpalg expects.",
		"Load or build nf_conntrack_netlink (CONFIG_NF_CT_NETLINK).",
	},
	{
		idTranslated, "translated expectations",
		"An expected connection follows the NAT of its control connection.",
		"Nothing if this machine does no NAT; else install the NAT rules and check again.",
	},
	{
		idAutomatic, "automatic helpers",
		"Kernels before 6.0 attach their own helper to port 21 by themselves. A connection has one " +
			"helper, and the first one stays.",
		"sysctl -w net.netfilter.nf_conntrack_helper=0",
	},
	{
		idRulesRead, "rules of others",
		"The nftables rules of everybody are read and walked with the packets of FTP.",
		"Run it with CAP_NET_ADMIN.",
	},
	{
		idFTPHelper, "kernel's FTP helper",
		"A connection has one helper, and the first to attach one wins. ftpalg attaches its own at " +
			"the hooks prerouting and output, priority -150: a rule at a later hook, as of firewalld's " +
			"service ftp, changes nothing. One that comes before stays: it reads the sessions too, and " +
			"opens ports of its own in what ftpalg does not read.",
		"Remove the rule that attaches another helper to the port, or the port from the configuration" +
			" of ftpalg.",
	},
	{
		idNotrack, "untracked port",
		"A notrack rule hides connections from connection tracking: ftpalg does not see them.",
		"Except the ports of FTP from the rule.",
	},
	{
		idRelated, "data connections accepted",
		"A data connection is related to its control connection. A firewall that drops by policy must" +
			" accept ct state established,related, or every transfer fails.",
		"Add to the chain: ct state established,related accept.",
	},
	{
		idLabels, "label writers",
		"Connection labels hold ftpalg's notes. Another rule that sets bits of them, or replaces " +
			"them, is in the way; ftpalg notices and writes them anew.",
		"Let the rule set bits below 112, and none on the ports of FTP.",
	},
	{
		idZones, "conntrack zones",
		"The same addresses can be tracked several times, in conntrack zones, as for VRFs. ftpalg follows " +
			"connections into the zones that the key zones names. A data connection passes only if its " +
			"packets are put into the zone of its control connection, from whichever side they come.",
		"Set zones: any, or name them if the kernel does not tell the zone of packets " +
			"(CONFIG_NETFILTER_NETLINK_GLUE_CT), and have the rules put all TCP of an interface into the " +
			"zone, not the port of FTP alone.",
	},
	{
		idFlowtables, "flowtables",
		"A flowtable takes connections past the rules. Connections with a helper are not taken, so " +
			"ftpalg sees them; data connections may be, and are counted only if the flowtable has the " +
			"flag counter.",
		"",
	},
	{
		idLegacy, "legacy iptables",
		"Rules of legacy iptables cannot be seen from here.",
		"Look yourself: iptables-legacy-save. No CT rule may attach a helper to port 21, and FORWARD " +
			"must accept ESTABLISHED,RELATED.",
	},
	{
		idPair, "masquerade of a pair",
		"masquerade takes the address of the machine itself, so connections do not survive their " +
			"takeover by another machine.",
		"Use snat to the address that both machines share.",
	},
	{
		idPickUp, "connections picked up on a pair",
		"A packet that comes to one of a pair before conntrackd has brought its entry makes a new entry " +
			"there, which knows nothing of what was rewritten in its session.",
		"sysctl -w net.netfilter.nf_conntrack_tcp_loose=0, and drop what is ct state invalid, as " +
			"deploy/ha does: the packet comes again.",
	},
	{
		idDockerProxy, "docker-proxy",
		"docker-proxy makes two connections of one: for what goes through it, which is what comes " +
			"from the host itself and what its rules do not translate, ftpalg sees the wrong ends.",
		"Set \"userland-proxy\": false in /etc/docker/daemon.json, and restart Docker.",
	},
	{
		idCilium, "Cilium",
		"Cilium forwards and translates pods' packets in BPF, where neither netfilter nor ftpalg sees" +
			" them.",
		"Set bpf.hostLegacyRouting=true and leave the Service to kube-proxy, or run the FTP server " +
			"with hostNetwork: true.",
	},
	{
		idIPv4, "IPv4 forwarding",
		"Without it the machine is no gateway.",
		"sysctl -w net.ipv4.ip_forward=1",
	},
	{
		idIPv6, "IPv6 forwarding",
		"Without it the machine is no gateway.",
		"sysctl -w net.ipv6.conf.all.forwarding=1",
	},
	{
		idReversePath, "reverse path filter",
		"In strict mode, packets are dropped that come in by another interface than answers leave by.",
		"With more than one uplink: sysctl -w net.ipv4.conf.all.rp_filter=2",
	},
	{
		idEvents, "events",
		"The kernel tells what comes of connections. Without that ftpalg cannot tell what became of " +
			"an open port.",
		"Set events: on, and sysctl -w net.netfilter.nf_conntrack_events=2",
	},
	{
		idBytes, "byte counts",
		"The kernel counts the bytes of connections, of which the log and the metrics tell.",
		"sysctl -w net.netfilter.nf_conntrack_acct=1, which counts for new connections.",
	},
	{
		idTable, "table of connections",
		"Where the kernel's table is full, new connections are dropped, also those of data.",
		"Raise net.netfilter.nf_conntrack_max.",
	},
	{
		idExpectTable, "table of expectations",
		"Each open port is an expectation in the kernel's table.",
		"Raise net.netfilter.nf_conntrack_expect_max, or lower limits.open.",
	},
}

// Checks returns the table of all that Run looks for.
func Checks() []Check { return checks }

// Name is what people call it.
func (i Item) Name() string {
	for _, c := range checks {
		if c.ID == i.ID {
			return c.Name
		}
	}
	return i.ID
}
