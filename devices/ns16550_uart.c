/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A UART with its 16-byte FIFOs, on the ISA bus.
 * National Semiconductor PC16550D data sheet (June 1995), section 8.
 *
 * Outputs "irq"(1): INTR, passed by OUT2 as on a PC's serial board, and cut off
 * in loopback.
 *
 * Properties: index (0..3, picks the PC's usual ports), iobase, irq.
 *
 * Sending takes no time: a byte written goes to the stream at once, THR and the
 * shift register are always empty, and the THRE interrupt follows each write.
 * Nothing a guest can rely on says how slow a line is, and waiting for one costs.
 *
 * Receiving is paced in virtual time at the programmed rate, from a backlog of
 * what the stream sent (granted by credit, BACKLOG bytes). A byte for which there is
 * no room in the FIFO waits in the backlog: host flow control. So overruns happen in
 * loopback only, and a paste loses nothing however slow the guest reads.
 *
 * What the sheet leaves open is defined so:
 *  - A divisor of 0 counts as 65536.
 *  - The modem inputs CTS, DSR and DCD are asserted, RI is not.
 *  - Break control (LCR bit 6) is kept; a stream cannot carry it.
 *  - Characters of less than 8 bits are masked on their way in and out. Parity and
 *    framing errors do not happen; a break is a NUL with BI alone.
 *  - A loopback byte arrives at once.
 */
#include "device.h"

#define FIFO_LEN      16
#define BACKLOG	      1024 /* bytes of credit */
#define BACKLOG_RING  2048 /* room for breaks, too; a power of two */
#define CREDIT_BATCH  256
#define CLOCK_DIV16HZ UINT64_C(115200) /* 1.8432 MHz / 16 */
#define CHAR_BREAK    0x100

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RDA	  0x01
#define IER_THRE  0x02
#define IER_RLS	  0x04
#define IER_MS	  0x08
#define IIR_NONE  0x01
#define IIR_MS	  0x00
#define IIR_THRE  0x02
#define IIR_RDA	  0x04
#define IIR_RLS	  0x06
#define IIR_TMO	  0x0c
#define IIR_FIFO  0xc0
#define FCR_ON	  0x01
#define FCR_RX	  0x02
#define FCR_KEEP  0xc9
#define LCR_STOP  0x04
#define LCR_PEN	  0x08
#define LCR_DLAB  0x80
#define MCR_OUT2  0x08
#define MCR_LOOP  0x10
#define LSR_DR	  0x01
#define LSR_OE	  0x02
#define LSR_ERRS  0x1c /* PE, FE, BI: go with a character */
#define LSR_BI	  0x10
#define LSR_EMPTY 0x60 /* THRE, TEMT */
#define LSR_FIFO  0x80
#define MSR_DELTA 0x0f
#define MSR_TERI  0x04
#define MSR_RI	  0x40
#define MSR_IDLE  0xb0 /* DCD, DSR, CTS */

struct uart {
	struct device dev;
	uint32_t index;
	uint32_t iobase;
	uint32_t irq_n;
	struct line irq;
	struct timer rx_timer;	/* the next bytes have arrived */
	struct timer tmo_timer; /* four character times without traffic in the FIFO */
	uint64_t rx_due_ns;	/* for which rx_timer was armed last */
	uint8_t rx_burst;	/* characters that arrive then */
	uint16_t backlog[BACKLOG_RING];
	uint32_t backlog_head, backlog_len; /* len counts entries */
	uint32_t consumed;		    /* bytes of credit not yet granted again */
	uint8_t fifo[FIFO_LEN];
	uint8_t fifo_err[FIFO_LEN]; /* LSR bits of each character */
	uint8_t fifo_head, fifo_len;
	uint16_t divisor;
	uint8_t ier, fcr, lcr, mcr, scr, msr;
	uint8_t oe;	      /* overrun, until LSR is read */
	uint8_t err;	      /* LSR bits of characters that came to the FIFO's head */
	uint8_t rbr;	      /* last character read */
	uint8_t thre_pending; /* the THRE interrupt source */
	uint8_t tmo;	      /* the time-out interrupt source */
	uint8_t granted;      /* the stream has had its first credit */
};

/* ---- interrupts ---- */

static unsigned uart_trigger(const struct uart *s)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return s->fcr & FCR_ON ? level[s->fcr >> 6] : 1;
}

/* The highest-priority source that is enabled, as IIR shows it. */
static uint8_t uart_iir(const struct uart *s)
{
	if ((s->ier & IER_RLS) && (s->oe || s->err))
		return IIR_RLS;
	if ((s->ier & IER_RDA) && s->fifo_len >= uart_trigger(s))
		return IIR_RDA;
	if ((s->ier & IER_RDA) && s->tmo)
		return IIR_TMO;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	if ((s->ier & IER_MS) && (s->msr & MSR_DELTA))
		return IIR_MS;
	return IIR_NONE;
}

static void uart_update(struct uart *s)
{
	bool gate = (s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

	line_set(&s->irq, gate && uart_iir(s) != IIR_NONE);
}

/* ---- receiving ---- */

/* Virtual time of a character: start, data, parity and stop bits at the programmed rate. */
static uint64_t uart_char_ns(const struct uart *s)
{
	unsigned half_bits = 2 * (1 + 5 + (s->lcr & 3) + !!(s->lcr & LCR_PEN) + 1);

	if (s->lcr & LCR_STOP)
		half_bits += s->lcr & 3 ? 2 : 1; /* two stop bits; 1.5 with 5 data bits */
	return half_bits * (s->divisor ? s->divisor : UINT64_C(65536)) * NS_PER_S /
	       (2 * CLOCK_DIV16HZ);
}

static uint8_t uart_char_mask(const struct uart *s)
{
	return (uint8_t)(0xff >> (3 - (s->lcr & 3)));
}

static unsigned uart_fifo_cap(const struct uart *s)
{
	return s->fcr & FCR_ON ? FIFO_LEN : 1;
}

/* Errors are those of the character at the FIFO's head, and stay until LSR is read. */
static void uart_show_head(struct uart *s)
{
	if (s->fifo_len > 0) {
		s->err |= s->fifo_err[s->fifo_head];
		s->fifo_err[s->fifo_head] = 0;
	}
}

static void uart_restart_timeout(struct uart *s)
{
	s->tmo = 0;
	if ((s->fcr & FCR_ON) && s->fifo_len > 0)
		timer_arm(&s->tmo_timer, vclock_ns(&s->dev) + 4 * uart_char_ns(s));
	else
		timer_cancel(&s->tmo_timer);
}

static void uart_fifo_push(struct uart *s, uint8_t c, uint8_t err)
{
	unsigned cap = uart_fifo_cap(s), at;

	if (s->fifo_len >= cap) {
		s->oe = LSR_OE;
		if (s->fcr & FCR_ON)
			return;	 /* the FIFO stays, the shift register is lost */
		s->fifo_len = 0; /* without FIFO the new character replaces the old */
	}
	at = (s->fifo_head + s->fifo_len++) % FIFO_LEN;
	s->fifo[at] = c;
	s->fifo_err[at] = err;
	uart_show_head(s);
	uart_restart_timeout(s);
}

/*
 * Characters that arrive together, when the last of them has: those that the guest waits for until
 * the FIFO reaches its trigger level. Each arrival wakes the machine, and a paste is thousands of
 * them.
 */
static unsigned uart_rx_burst(const struct uart *s)
{
	unsigned room = uart_fifo_cap(s) - s->fifo_len;
	unsigned n = uart_trigger(s) > s->fifo_len ? uart_trigger(s) - s->fifo_len : room;

	if (n > room)
		n = room;
	return n < s->backlog_len ? n : s->backlog_len;
}

/* Starts the next characters of the backlog on their way at start_ns, if there is room for them. */
static void uart_rx_start_at(struct uart *s, uint64_t start_ns)
{
	if (s->rx_timer.deadline_ns != TIMER_NEVER || s->backlog_len == 0 || (s->mcr & MCR_LOOP) ||
		s->fifo_len >= uart_fifo_cap(s))
		return;
	s->rx_burst = (uint8_t)uart_rx_burst(s);
	s->rx_due_ns = start_ns + s->rx_burst * uart_char_ns(s);
	timer_arm(&s->rx_timer, s->rx_due_ns);
}

static void uart_rx_start(struct uart *s)
{
	uart_rx_start_at(s, vclock_ns(&s->dev));
}

static void uart_grant(struct uart *s)
{
	if (s->consumed >= CREDIT_BATCH || (s->consumed > 0 && s->backlog_len == 0)) {
		chr_credit(&s->dev, s->consumed);
		s->consumed = 0;
	}
}

static void uart_rx_one(struct uart *s)
{
	uint16_t c = s->backlog[s->backlog_head];

	s->backlog_head = (s->backlog_head + 1) % BACKLOG_RING;
	s->backlog_len--;
	if (c & CHAR_BREAK) {
		uart_fifo_push(s, 0, LSR_BI);
	} else {
		s->consumed++;
		uart_fifo_push(s, (uint8_t)c & uart_char_mask(s), 0);
	}
}

static void uart_rx_fire(struct device *dev)
{
	struct uart *s = (struct uart *)dev;

	/* What does not fit any more waits until uart_rx_start() is called again. */
	for (unsigned n = s->rx_burst; n > 0 && s->backlog_len > 0 && !(s->mcr & MCR_LOOP) &&
				       s->fifo_len < uart_fifo_cap(s);
		n--)
		uart_rx_one(s);
	uart_grant(s);
	/* Not from now: the rate holds although timers come late. */
	uart_rx_start_at(s, s->rx_due_ns);
	uart_update(s);
}

static void uart_tmo_fire(struct device *dev)
{
	struct uart *s = (struct uart *)dev;

	s->tmo = s->fifo_len > 0;
	uart_update(s);
}

static void uart_backlog_put(struct uart *s, uint16_t c)
{
	if (s->backlog_len >= BACKLOG_RING)
		return; /* a stream that sends more than its credit */
	s->backlog[(s->backlog_head + s->backlog_len++) % BACKLOG_RING] = c;
}

static void uart_chr_receive(struct device *dev, const uint8_t *buf, size_t len)
{
	struct uart *s = (struct uart *)dev;
	size_t i;

	for (i = 0; i < len; i++)
		uart_backlog_put(s, buf[i]);
	uart_rx_start(s);
}

static void uart_chr_break(struct device *dev)
{
	uart_backlog_put((struct uart *)dev, CHAR_BREAK);
	uart_rx_start((struct uart *)dev);
}

/* ---- registers ---- */

static void uart_rx_clear(struct uart *s)
{
	s->fifo_head = 0;
	s->fifo_len = 0;
	s->err = 0;
	for (unsigned i = 0; i < FIFO_LEN; i++)
		s->fifo_err[i] = 0;
	uart_restart_timeout(s);
}

static uint8_t uart_read_rbr(struct uart *s)
{
	if (s->fifo_len > 0) {
		s->rbr = s->fifo[s->fifo_head];
		s->fifo_head = (s->fifo_head + 1) % FIFO_LEN;
		s->fifo_len--;
		uart_show_head(s);
		uart_restart_timeout(s);
		uart_rx_start(s);
	}
	return s->rbr;
}

static void uart_write_thr(struct uart *s, uint8_t val)
{
	val &= uart_char_mask(s);
	if (s->mcr & MCR_LOOP)
		uart_fifo_push(s, val, 0);
	else
		chr_write(&s->dev, &val, 1);
	s->thre_pending = 1; /* full and empty again at once */
}

static uint8_t uart_read_iir(struct uart *s)
{
	uint8_t iir = uart_iir(s);

	if (iir == IIR_THRE)
		s->thre_pending = 0;
	return iir | (s->fcr & FCR_ON ? IIR_FIFO : 0);
}

static uint8_t uart_read_lsr(struct uart *s)
{
	uint8_t v = LSR_EMPTY | s->oe | s->err;
	unsigned i;

	if (s->fifo_len > 0)
		v |= LSR_DR;
	if (s->fcr & FCR_ON) {
		if (s->err)
			v |= LSR_FIFO;
		for (i = 0; i < FIFO_LEN; i++)
			if (s->fifo_err[i])
				v |= LSR_FIFO;
	}
	s->oe = 0;
	s->err = 0;
	return v;
}

static void uart_write_fcr(struct uart *s, uint8_t val)
{
	/* Both FIFOs are emptied when they are switched, either way. */
	if ((val ^ s->fcr) & FCR_ON)
		uart_rx_clear(s);
	s->fcr = 0;
	if (val & FCR_ON) { /* else the other bits are not programmed */
		s->fcr = val & FCR_KEEP;
		if (val & FCR_RX)
			uart_rx_clear(s);
	}
	/* The bits that reset clear themselves. The transmit FIFO is always empty. */
	uart_rx_start(s);
}

/* The modem inputs, from the outside or, in loopback, from the modem outputs. */
static void uart_update_msr(struct uart *s)
{
	uint8_t old = s->msr, in = MSR_IDLE;

	if (s->mcr & MCR_LOOP)
		in = (uint8_t)((s->mcr & 2) << 3 | (s->mcr & 1) << 5 | (s->mcr & 4) << 4 |
			       (s->mcr & 8) << 4);
	s->msr = in | (old & MSR_DELTA) | ((in ^ old) >> 4 & MSR_DELTA & ~MSR_TERI);
	if (old & ~in & MSR_RI)
		s->msr |= MSR_TERI; /* the trailing edge only */
}

static void uart_write_mcr(struct uart *s, uint8_t val)
{
	s->mcr = val & 0x1f;
	uart_update_msr(s);
	uart_rx_start(s);
}

static void uart_write_ier(struct uart *s, uint8_t val)
{
	/* Enabling the THRE interrupt while THR is empty raises it, again each time. */
	if (~s->ier & val & IER_THRE)
		s->thre_pending = 1;
	s->ier = val & 0x0f;
}

static uint64_t uart_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct uart *s = (struct uart *)dev;
	uint8_t v = 0xff;

	switch (addr) {
	case REG_DATA: v = s->lcr & LCR_DLAB ? (uint8_t)s->divisor : uart_read_rbr(s); break;
	case REG_IER: v = s->lcr & LCR_DLAB ? s->divisor >> 8 : s->ier; break;
	case REG_IIR_FCR: v = uart_read_iir(s); break;
	case REG_LCR: v = s->lcr; break;
	case REG_MCR: v = s->mcr; break;
	case REG_LSR: v = uart_read_lsr(s); break;
	case REG_MSR:
		v = s->msr;
		s->msr &= ~MSR_DELTA;
		break;
	case REG_SCR: v = s->scr; break;
	}
	uart_update(s);
	return v;
}

static void uart_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val64)
{
	struct uart *s = (struct uart *)dev;
	uint8_t val = (uint8_t)val64;

	switch (addr) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB)
			s->divisor = (s->divisor & 0xff00) | val;
		else
			uart_write_thr(s, val);
		break;
	case REG_IER:
		if (s->lcr & LCR_DLAB)
			s->divisor = (uint16_t)((s->divisor & 0xff) | val << 8);
		else
			uart_write_ier(s, val);
		break;
	case REG_IIR_FCR: uart_write_fcr(s, val); break;
	case REG_LCR: s->lcr = val; break;
	case REG_MCR: uart_write_mcr(s, val); break;
	case REG_LSR: break; /* for factory tests, says the sheet */
	case REG_MSR: break;
	case REG_SCR: s->scr = val; break;
	}
	uart_update(s);
}

static const struct io_ops uart_ops = { uart_read, uart_write, .max_size = 1 };

static int uart_realize(struct device *dev, struct error *err)
{
	static const struct {
		uint16_t iobase;
		uint8_t irq;
	} usual[4] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } };
	struct uart *s = (struct uart *)dev;
	int rc;

	if (s->index > 3)
		return error_set(err, 22, "%s: index %u: expected 0 to 3", dev->id, s->index);
	if (s->iobase == UINT32_MAX)
		s->iobase = usual[s->index].iobase;
	if (s->irq_n == UINT32_MAX)
		s->irq_n = usual[s->index].irq;
	if (s->iobase > 0xfff8)
		return error_set(err, 22, "%s: iobase %#x: expected eight ports below 0x10000",
			dev->id, s->iobase);
	if (s->irq_n > 15)
		return error_set(err, 22, "%s: irq %u: expected 0 to 15", dev->id, s->irq_n);
	rc = io_map(dev, s->iobase, 8, &uart_ops, err);
	if (rc < 0)
		return rc;
	timer_init(dev, &s->rx_timer, uart_rx_fire);
	timer_init(dev, &s->tmo_timer, uart_tmo_fire);
	line_output(dev, "irq", &s->irq, 1);
	return 0;
}

/*
 * Master reset, table I of the sheet. The divisor is not in it: 9600 baud. The
 * backlog is not the chip's: what was typed survives.
 */
static void uart_reset(struct device *dev)
{
	struct uart *s = (struct uart *)dev;

	s->ier = 0;
	s->fcr = 0;
	s->lcr = 0;
	s->mcr = 0;
	s->scr = 0;
	s->rbr = 0;
	s->oe = 0;
	s->thre_pending = 0;
	s->divisor = 12;
	s->msr = MSR_IDLE;
	uart_rx_clear(s);
	timer_cancel(&s->rx_timer);
	if (!s->granted) {
		s->granted = 1;
		chr_credit(dev, BACKLOG);
	}
	uart_rx_start(s);
	uart_update(s);
}

static const struct prop uart_props[] = {
	{ "index", PROP_U32, offsetof(struct uart, index), 0 },
	{ "iobase", PROP_U32, offsetof(struct uart, iobase), UINT32_MAX },
	{ "irq", PROP_U32, offsetof(struct uart, irq_n), UINT32_MAX },
	PROP_END,
};

static const struct field uart_fields[] = {
	FIELD_TIMER(struct uart, rx_timer),
	FIELD_TIMER(struct uart, tmo_timer),
	FIELD(struct uart, rx_due_ns),
	FIELD(struct uart, rx_burst),
	FIELD_ARRAY(struct uart, backlog),
	FIELD(struct uart, backlog_head),
	FIELD(struct uart, backlog_len),
	FIELD(struct uart, consumed),
	FIELD_ARRAY(struct uart, fifo),
	FIELD_ARRAY(struct uart, fifo_err),
	FIELD(struct uart, fifo_head),
	FIELD(struct uart, fifo_len),
	FIELD(struct uart, divisor),
	FIELD(struct uart, ier),
	FIELD(struct uart, fcr),
	FIELD(struct uart, lcr),
	FIELD(struct uart, mcr),
	FIELD(struct uart, scr),
	FIELD(struct uart, msr),
	FIELD(struct uart, oe),
	FIELD(struct uart, err),
	FIELD(struct uart, rbr),
	FIELD(struct uart, thre_pending),
	FIELD(struct uart, tmo),
	FIELD(struct uart, granted),
	FIELD_END,
};

/* Bounds what a snapshot may have put there. */
static void uart_loaded(struct device *dev)
{
	struct uart *s = (struct uart *)dev;

	s->backlog_head %= BACKLOG_RING;
	s->fifo_head %= FIFO_LEN;
	if (s->backlog_len > BACKLOG_RING)
		s->backlog_len = BACKLOG_RING;
	if (s->fifo_len > FIFO_LEN)
		s->fifo_len = FIFO_LEN;
}

const struct device_class ns16550_class = {
	.name = "isa-serial",
	.desc = "16550A serial port",
	.instance_size = sizeof(struct uart),
	.props = uart_props,
	.fields = uart_fields,
	.user_creatable = true,
	.realize = uart_realize,
	.reset = uart_reset,
	.loaded = uart_loaded,
	.chr_receive = uart_chr_receive,
	.chr_break = uart_chr_break,
};
