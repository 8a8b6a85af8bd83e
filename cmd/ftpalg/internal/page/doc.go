// Package page is the status page for a browser: what `ftpalg status` and `ftpalg sessions` tell, and the
// last hour as plots. It is whole without scripts; with them it is renewed by server-sent events.
package page
