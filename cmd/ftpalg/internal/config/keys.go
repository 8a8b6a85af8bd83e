package config

import (
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
)

// key is one thing that can be set.
type key struct {
	name string // with its sections, as in "metrics.address"
	value
}

// maxLimit keeps a limit that was meant as "none" from looking like one.
const maxLimit = 1_000_000_000

var (
	tableName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,30}$`)
	groupName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$`)
	helperName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`)
)

// keys is the table of all keys, in the order of the example file.
var keys = append(programKeys, policyKeys...)

// programKeys are those of the program as a whole.
var programKeys = []key{
	{"ports", ports(func(c *Config) *[]uint16 { return &c.Ports })},
	{"queue", number(0, 65535, func(c *Config) *uint16 { return &c.Queue })},
	{"workers", workers()},
	{"table", name("1 to 31 letters, digits and underscores, a letter first", tableName,
		func(c *Config) *string { return &c.Table })},
	{"rules", choice(func(c *Config) *bool { return &c.ExternalRules },
		option[bool]{"managed", false}, option[bool]{"external", true})},
	{"helper", name("auto, or the name of a conntrack helper, of at most 15 characters", helperName,
		func(c *Config) *string { return &c.Helper })},
	{"events", choice(func(c *Config) *bool { return &c.Events },
		option[bool]{"on", true}, option[bool]{off, false})},
	{"zones", zones()},
	{"metrics.address", listener(func(c *Config) *string { return &c.Metrics.Address })},
	{"metrics.path", path(func(c *Config) *string { return &c.Metrics.Path })},
	{"http.sessions", yes(func(c *Config) *bool { return &c.HTTP.Sessions })},
	{"http.config_file", file(`the absolute path of a file, or "" or off`,
		func(c *Config) *string { return &c.HTTP.File })},
	{"socket.path", socket(func(c *Config) *string { return &c.Socket.Path })},
	{"socket.group", optional(`the name or number of a group, or ""`, groupName,
		func(c *Config) *string { return &c.Socket.Group })},
	{"privacy.users", yes(func(c *Config) *bool { return &c.Names.Users })},
	{"privacy.files", yes(func(c *Config) *bool { return &c.Names.Files })},
	{"log.format", choice(func(c *Config) *bool { return &c.Log.JSON },
		option[bool]{"text", false}, option[bool]{"json", true})},
	{"log.level", choice(func(c *Config) *slog.Level { return &c.Log.Level },
		option[slog.Level]{"debug", slog.LevelDebug}, option[slog.Level]{"info", slog.LevelInfo},
		option[slog.Level]{"warn", slog.LevelWarn}, option[slog.Level]{"error", slog.LevelError})},
	{"log.transfers", file(`the absolute path of a file, or stdout, or "" or off`,
		func(c *Config) *string { return &c.Log.Transfers }, "stdout")},
	{"limits.sessions", limit(func(p *policy.Policy) *int { return &p.Limits.Total.Sessions })},
	{"limits.open", limit(func(p *policy.Policy) *int { return &p.Limits.Total.Open })},
	{"limits.new_per_minute", limit(func(p *policy.Policy) *int { return &p.Limits.Total.NewPerMinute })},
}

// policyKeys can be set for some networks too, under policies.
var policyKeys = []key{
	{"active", yes(func(c *Config) *bool { return &c.Policy.Active })},
	{"passive", yes(func(c *Config) *bool { return &c.Policy.Passive })},
	{"external_address", external()},
	{"internal_networks", networks(func(c *Config) *[]netip.Prefix { return &c.Policy.Internal })},
	{"any_passive_address", yes(func(c *Config) *bool { return &c.Policy.AnyPassiveAddress })},
	{"fxp_networks", networks(func(c *Config) *[]netip.Prefix { return &c.Policy.FXP })},
	{"min_port", number(1, 65535, func(c *Config) *uint16 { return &c.Policy.MinPort })},
	{"max_port", number(1, 65535, func(c *Config) *uint16 { return &c.Policy.MaxPort })},
	{"deny_ports", denyPorts()},
	{"port_range", portRange()},
	{"pinhole_timeout",
		duration(time.Second, time.Hour, func(c *Config) *time.Duration { return &c.Policy.Timeout })},
	{"trust_running", yes(func(c *Config) *bool { return &c.Policy.TrustRunning })},
	{"adopt", yes(func(c *Config) *bool { return &c.Policy.Adopt })},
	{"tls", choice(func(c *Config) *policy.TLS { return &c.Policy.TLS },
		option[policy.TLS]{"pass", policy.TLSPass}, option[policy.TLS]{"watch", policy.TLSWatch},
		option[policy.TLS]{"deny", policy.TLSDeny})},
	{"limits.per_client.sessions",
		limit(func(p *policy.Policy) *int { return &p.Limits.PerClient.Sessions })},
	{"limits.per_client.open", limit(func(p *policy.Policy) *int { return &p.Limits.PerClient.Open })},
	{"limits.per_client.new_per_minute",
		limit(func(p *policy.Policy) *int { return &p.Limits.PerClient.NewPerMinute })},
	{"limits.per_client.commands_per_second",
		limit(func(p *policy.Policy) *int { return &p.Limits.PerClient.CommandsPerSecond })},
	{"limits.per_client.failed_logins_per_minute",
		limit(func(p *policy.Policy) *int { return &p.Limits.PerClient.FailedLoginsPerMinute })},
	{"limits.per_client.ipv4_prefix",
		number(8, 32, func(c *Config) *int { return &c.Policy.Limits.IPv4Bits })},
	{"limits.per_client.ipv6_prefix",
		number(16, 128, func(c *Config) *int { return &c.Policy.Limits.IPv6Bits })},
	{"strict.enabled", yes(func(c *Config) *bool { return &c.Policy.Strict.Enabled })},
	{"strict.allow", commands(func(c *Config) *[]string { return &c.Policy.Strict.Allow })},
	{"strict.deny", commands(func(c *Config) *[]string { return &c.Policy.Strict.Deny })},
	{"strict.read_only", yes(func(c *Config) *bool { return &c.Policy.Strict.ReadOnly })},
	{"strict.max_line", number(0, 65535, func(c *Config) *int { return &c.Policy.Strict.MaxLine })},
	{"strict.max_trailing", number(0, 65535, func(c *Config) *int { return &c.Policy.Strict.MaxTrailing })},
	{"strict.wait_for_reply", yes(func(c *Config) *bool { return &c.Policy.Strict.WaitForReply })},
	{"strict.need_crlf", yes(func(c *Config) *bool { return &c.Policy.Strict.NeedCRLF })},
	{"strict.direction", yes(func(c *Config) *bool { return &c.Policy.Strict.Direction })},
	{"strict.mask_banner", yes(func(c *Config) *bool { return &c.Policy.Strict.MaskBanner })},
	{"strict.mask_syst", yes(func(c *Config) *bool { return &c.Policy.Strict.MaskSYST })},
	{"strict.deny_users", patterns(func(c *Config) *[]*regexp.Regexp { return &c.Policy.Strict.DenyUsers })},
	{"strict.deny_files", patterns(func(c *Config) *[]*regexp.Regexp { return &c.Policy.Strict.DenyFiles })},
	{"strict.reset", yes(func(c *Config) *bool { return &c.Policy.Strict.Reset })},
}

// networkKeys say for whom an entry of policies is.
var networkKeys = []key{
	{"clients", networks(func(c *Config) *[]netip.Prefix { return &c.Policies[0].Clients })},
	{"servers", networks(func(c *Config) *[]netip.Prefix { return &c.Policies[0].Servers })},
}

// policiesKey is the list of entries that have networkKeys and policyKeys each.
const policiesKey = "policies"

func limit(at func(*policy.Policy) *int) value {
	v := number(0, maxLimit, func(c *Config) *int { return at(&c.Policy) })
	v.allowed += " (0: no limit)"
	return v
}

// find returns the key of this name.
func find(in []key, name string) (key, bool) {
	for _, k := range in {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

// inside returns the names that may stand in a section, "" being the whole file.
func inside(in []key, section string) []string {
	var names []string
	for _, k := range in {
		rest, ok := strings.CutPrefix(k.name, section)
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, ".")
		if !slices.Contains(names, rest) {
			names = append(names, rest)
		}
	}
	return names
}
