package main

// exitAnnotation is where a command keeps the text of its exit status.
const exitAnnotation = "exit"

// exits is what the exit status of each command tells.
var exits = map[string]string{
	"run": `  0  it was told to end
  1  it could not start, as for mistakes in the configuration, or it failed`,
	"check": `  0  it can run here
  1  it can, but something makes transfers fail (a warning)
  2  it cannot, or the configuration has mistakes`,
	"demo": `  0  everything went as it should
  1  something did not`,
	"inspect": `  0  every capture was read to its end, or to an interrupt
  1  one could not be read`,
	"explain": `  0  it was explained
  1  there is no such word`,
	"rules": `  0  they were printed
  1  the configuration has mistakes`,
	"version": `  0  always`,
	"sessions": `  0  they were listed
  1  the gateway cannot be asked`,
	"status": `  0  all is well
  1  there is a warning
  2  something fails, or the gateway cannot be asked`,
	"events": `  0  the gateway ended
  1  the gateway cannot be asked`,
	"manual": `  0  they were written
  1  they could not be`,
}
