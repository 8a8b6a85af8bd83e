// Package page looks at the status page of a gateway that works, in Chromium: it is a module of its own for
// what steers that. Its test needs root, and the package chromium-headless-shell or chromium of Debian.
package page
