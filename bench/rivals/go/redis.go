// A client of Redis with one connection: many callers write, replies come back in order, and what waits goes out together.
package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
)

type reply struct {
	text string
	err  error
}

type command struct {
	arguments []string
	answer    chan reply
}

type redisClient struct {
	commands chan command
	script   string
}

func dial(socket string) (*redisClient, error) {
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	client := &redisClient{commands: make(chan command, 1024)}
	pending := make(chan chan reply, 4096)
	go client.write(bufio.NewWriterSize(connection, 1<<16), pending)
	go client.read(bufio.NewReaderSize(connection, 1<<16), pending)
	return client, nil
}

func (c *redisClient) call(arguments ...string) (string, error) {
	answer := make(chan reply, 1)
	c.commands <- command{arguments, answer}
	got := <-answer
	return got.text, got.err
}

func (c *redisClient) write(writer *bufio.Writer, pending chan<- chan reply) {
	digits := make([]byte, 0, 20)
	head := func(kind byte, count int) {
		writer.WriteByte(kind)
		writer.Write(strconv.AppendInt(digits, int64(count), 10))
		writer.WriteString("\r\n")
	}
	for next := range c.commands {
		head('*', len(next.arguments))
		for _, argument := range next.arguments {
			head('$', len(argument))
			writer.WriteString(argument)
			writer.WriteString("\r\n")
		}
		pending <- next.answer
		if len(c.commands) == 0 {
			writer.Flush()
		}
	}
}

func (c *redisClient) read(reader *bufio.Reader, pending <-chan chan reply) {
	for answer := range pending {
		answer <- readReply(reader)
	}
}

// readReply reads what the commands used here are answered with: a bulk string or an error.
func readReply(reader *bufio.Reader) reply {
	line, err := reader.ReadString('\n')
	if err != nil || len(line) < 3 {
		return reply{err: errors.New("the connection to Redis is gone")}
	}
	text := line[1 : len(line)-2]
	if line[0] != '$' {
		return reply{err: errors.New(text)}
	}
	length, err := strconv.Atoi(text)
	if err != nil || length < 0 {
		return reply{err: errors.New("no value")}
	}
	bytes := make([]byte, length+2)
	if _, err := io.ReadFull(reader, bytes); err != nil {
		return reply{err: err}
	}
	return reply{text: string(bytes[:length])}
}
