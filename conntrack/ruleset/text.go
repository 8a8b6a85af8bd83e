package ruleset

import (
	"fmt"
	"strings"
)

// Text returns the table in nft syntax, to be read or to be loaded with `nft -f`
// by those who keep their rules themselves. It always has the native queue
// statement: nft can show the xt target NFQUEUE but cannot read it. The numbers
// of the label bits are those of this machine: on a big endian one they are others.
func Text(c Config) string {
	c = c.withDefaults()
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", c.Table)
	if c.Helper != "" {
		fmt.Fprintf(&b, "\tct helper %s {\n\t\ttype \"%s\" protocol tcp\n\t\tl3proto inet\n\t}\n\n",
			helperObject, c.Helper)
	}
	fmt.Fprintf(&b, "\tset %s {\n\t\ttype inet_service\n\t\telements = { %s }\n\t}\n",
		portSet, strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Ports), " ", ", "), "[]"))
	for _, ch := range chains(c) {
		fmt.Fprintf(&b, "\n\tchain %s {\n", ch.name)
		if ch.hook != nil {
			fmt.Fprintf(&b, "\t\ttype filter hook %s priority %d; policy accept;\n", ch.name, c.Priority)
		}
		for _, r := range ch.rules {
			fmt.Fprintf(&b, "\t\t%s\n", r.text)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}
