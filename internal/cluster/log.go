package cluster

import (
	"errors"
	"maps"
	"runtime"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The same message is passed on so often in so long; what it says does not get truer by repetition.
const (
	logPeriod = time.Minute
	logTimes  = 3
)

// chatter is what etcd warns of at each start, and what nobody can act upon: its clients and its peers are this software's own.
func chatter() []string {
	return []string{
		"Running http and grpc server on single port. This is not recommended for production.",
		"simple token is not cryptographically signed",
	}
}

// newLogger is the logger for etcd's code. Warnings and worse go to tell. Where etcd would end the process, or panic, fatal is told
// why and only the goroutine ends.
func newLogger(tell func(level, message string, fields []any), fatal func(error)) *zap.Logger {
	core := zapcore.NewSamplerWithOptions(bridge{tell: tell}, logPeriod, logTimes, 0)
	last := lastWords(fatal)
	return zap.New(core, zap.WithFatalHook(last), zap.WithPanicHook(last))
}

// lastWords is what stands at the end of a message after which etcd does not expect to live.
type lastWords func(error)

func (fatal lastWords) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	fatal(wordsOf(entry.Message, fields))
	runtime.Goexit()
}

// wordsOf is a message with the error among its fields, if there is one.
func wordsOf(message string, fields []zapcore.Field) error {
	for _, f := range fields {
		if err, is := f.Interface.(error); is && f.Type == zapcore.ErrorType {
			return errors.New(message + ": " + err.Error())
		}
	}
	return errors.New(message)
}

// A bridge passes zap's entries on as a level, a message and fields.
type bridge struct {
	tell func(level, message string, fields []any)
	with []zapcore.Field
}

func (bridge) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	return bridge{b.tell, append(slices.Clip(b.with), fields...)}
}

func (b bridge) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !b.Enabled(e.Level) || slices.Contains(chatter(), e.Message) {
		return to
	}
	return to.AddCore(e, b)
}

func (b bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clip(b.with), fields...) {
		f.AddTo(m)
	}
	var list []any
	for _, key := range slices.Sorted(maps.Keys(m.Fields)) {
		list = append(list, key, m.Fields[key])
	}
	b.tell(e.Level.String(), e.Message, list)
	return nil
}

func (bridge) Sync() error { return nil }
