// Command awan is the whole cloud and its command line.
package main

import (
	"os"

	"github.com/awancloud/awan/internal/cloud"
)

func main() { os.Exit(cloud.Main(os.Args)) }
