package register

import "errors"

// ErrUnreachable: another node could not be asked, or another life of it answers now; nothing was begun there.
var ErrUnreachable = errors.New("the node cannot be reached")
