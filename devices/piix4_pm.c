/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power management function of the 82371AB (PIIX4): ACPI PM1 block, PM timer,
 * general purpose events, APM ports, SMBus host controller.
 * Intel 82371AB data sheet (290562-001), chapter 7; ACPI specification 1.0b, 4.7.
 *
 * PCI function 8086:7113 at devfn 0x0b (1:3). Output "sci"(1): active high.
 *
 * Properties: pm-base (0x600), the PM I/O base after a reset, 0 for the chip's
 * own (disabled until firmware programs it); devfn (0x0b).
 *
 *	config 40h PMBA, 80h bit 0 enables	64 ports, below
 *	config 90h SMBBA, D2h bit 0 enables	16 ports: the host controller, idle
 *	B2h, B3h	APM control and status: F1h sets SCI_EN, F0h clears it, as
 *			the system-management code of a PC does
 *	AFE0h (fixed)	GPE0 status and enable, the same bits as PMBA + 0Ch; where
 *			QEMU's tables have them
 *
 * The PM timer is 24 bits at 3.579545 MHz, computed from virtual time; TMROF_STS
 * is set each time bit 23 changes.
 *
 * What the sheet leaves open, or is done differently:
 *  - SLP_EN with SLP_TYP 0 (soft off) ends the run; with another type the machine
 *    is woken at once: WAK_STS is set.
 *  - There is no system-management mode: with SCI_EN clear events raise nothing.
 *  - The SMBus has no devices: a command ends at once with a device error.
 *  - The registers behind clock control, throttling, device monitors and general
 *    purpose pins are kept and have no effect.
 */
#include "device.h"

#define PM_LEN	     64
#define SMB_LEN	     16
#define GPE_BASE     0xafe0
#define PMTMR_HZ     UINT64_C(3579545)
#define PMTMR_HALF   (UINT64_C(1) << 23)
#define CFG_PMBA     0x40
#define CFG_PMREGMSC 0x80
#define CFG_SMBBA    0x90
#define CFG_SMBCFG   0xd2

enum { PM_STS = 0x00, PM_EN = 0x02, PM_CNT = 0x04, PM_TMR = 0x08, PM_GPSTS = 0x0c, PM_GPEN = 0x0e };

#define STS_TMROF   0x0001
#define STS_GBL	    0x0020
#define STS_PWRBTN  0x0100
#define STS_RTC	    0x0400
#define STS_WAK	    0x8000
#define EN_ALL	    (STS_TMROF | STS_GBL | STS_PWRBTN | STS_RTC)
#define CNT_SCI_EN  0x0001
#define CNT_SLP_EN  0x2000
#define SLP_TYP(c)  ((c) >> 10 & 7)
#define SLP_TYP_OFF 0

#define APM_ACPI_ENABLE	 0xf1
#define APM_ACPI_DISABLE 0xf0

/* Bits that a guest writes, and that it clears by writing 1, of each byte of the PM block. */
#define PM_BYTES(X)                                                                      \
	/* offset, writable, write 1 to clear */                                         \
	X(0x00, 0x00, 0x31) /* PMSTS: WAK, RTC, PWRBTN, GBL, BM, TMROF */                \
	X(0x01, 0x00, 0x8d)                                                              \
	X(0x02, 0x21, 0x00) /* PMEN */                                                   \
	X(0x03, 0x05, 0x00)                                                              \
	X(0x04, 0x03, 0x00) /* PMCNTRL: SCI_EN, BRLD_EN; GBL_RLS and SLP_EN read as 0 */ \
	X(0x05, 0x1c, 0x00) /* SLP_TYP */                                                \
	X(0x0c, 0x00, 0xff) /* GPSTS */                                                  \
	X(0x0d, 0x00, 0xff)                                                              \
	X(0x0e, 0xff, 0x00) /* GPEN */                                                   \
	X(0x0f, 0xff, 0x00)                                                              \
	X(0x10, 0x3e, 0x00) /* PCNTRL */                                                 \
	X(0x11, 0x3e, 0x00)                                                              \
	X(0x12, 0x03, 0x00)                                                              \
	X(0x18, 0x00, 0xff) /* GLBSTS */                                                 \
	X(0x1c, 0x00, 0xff) /* DEVSTS */                                                 \
	X(0x1d, 0x00, 0xff)                                                              \
	X(0x1e, 0x00, 0xff)                                                              \
	X(0x1f, 0x00, 0xff)                                                              \
	X(0x20, 0xff, 0x00) /* GLBEN */                                                  \
	X(0x21, 0xff, 0x00)                                                              \
	X(0x28, 0xff, 0x00) /* GLBCTL */                                                 \
	X(0x29, 0xff, 0x00)                                                              \
	X(0x2a, 0xff, 0x00)                                                              \
	X(0x2b, 0xff, 0x00)                                                              \
	X(0x2c, 0xff, 0x00) /* DEVCTL */                                                 \
	X(0x2d, 0xff, 0x00)                                                              \
	X(0x2e, 0xff, 0x00)                                                              \
	X(0x2f, 0xff, 0x00)                                                              \
	X(0x34, 0xff, 0x00) /* GPOREG */                                                 \
	X(0x35, 0xff, 0x00)                                                              \
	X(0x36, 0xff, 0x00)                                                              \
	X(0x37, 0xff, 0x00)

static const uint8_t pm_wmask[PM_LEN] = {
#define X(off, w, c) [off] = (w),
	PM_BYTES(X)
#undef X
};
static const uint8_t pm_w1cmask[PM_LEN] = {
#define X(off, w, c) [off] = (c),
	PM_BYTES(X)
#undef X
};

/* SMBus host controller, section 7.3. */
enum { SMB_HSTSTS = 0, SMB_HSTCNT = 2 };
#define HSTSTS_ERRS   0x1e
#define HSTSTS_DEVERR 0x04
#define HSTCNT_START  0x40

struct piix4_pm {
	struct device dev;
	struct pci_function pci;
	uint32_t reset_base;
	uint32_t devfn;
	struct line sci;
	struct timer timer;  /* the PM timer's overflow, when its interrupt is enabled */
	uint64_t sync_ticks; /* TMROF_STS is evaluated up to here */
	uint32_t pm_mapped;  /* base + 1, 0 when not mapped */
	uint32_t smb_mapped;
	uint8_t reg[PM_LEN];
	uint8_t smb[SMB_LEN];
	uint8_t apm[2];
};

static struct trace_point tp_sleep = TRACE_POINT("piix4_pm_sleep");

static uint16_t pm_get16(const struct piix4_pm *s, unsigned off)
{
	return (uint16_t)(s->reg[off] | s->reg[off + 1] << 8);
}

static void pm_set16(struct piix4_pm *s, unsigned off, uint16_t bits)
{
	s->reg[off] |= (uint8_t)bits;
	s->reg[off + 1] |= bits >> 8;
}

static uint64_t pm_ticks(const struct piix4_pm *s)
{
	return muldiv64(vclock_ns(&s->dev), PMTMR_HZ, NS_PER_S);
}

/* Sets TMROF_STS if bit 23 changed since the last time. */
static void pm_sync(struct piix4_pm *s)
{
	uint64_t now = pm_ticks(s);

	if (now / PMTMR_HALF != s->sync_ticks / PMTMR_HALF)
		pm_set16(s, PM_STS, STS_TMROF);
	s->sync_ticks = now;
}

/* After pm_sync() and whatever changed: the SCI and the timer. */
static void pm_update(struct piix4_pm *s)
{
	uint16_t sts = pm_get16(s, PM_STS), en = pm_get16(s, PM_EN);
	bool event = (sts & en & EN_ALL) || (pm_get16(s, PM_GPSTS) & pm_get16(s, PM_GPEN));
	uint64_t next;

	line_set(&s->sci, event && (pm_get16(s, PM_CNT) & CNT_SCI_EN));
	if ((en & STS_TMROF) && !(sts & STS_TMROF)) {
		next = (s->sync_ticks / PMTMR_HALF + 1) * PMTMR_HALF;
		timer_arm(&s->timer,
			(uint64_t)(((unsigned __int128)next * NS_PER_S + PMTMR_HZ - 1) / PMTMR_HZ));
	} else {
		timer_cancel(&s->timer);
	}
}

static void pm_fire(struct device *dev)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;

	pm_sync(s);
	pm_update(s);
}

static void pm_sleep(struct piix4_pm *s)
{
	unsigned type = SLP_TYP(pm_get16(s, PM_CNT));

	trace(&tp_sleep, "SLP_TYP %u", type);
	if (type == SLP_TYP_OFF)
		machine_request(&s->dev, MACHINE_SHUTDOWN);
	else
		pm_set16(s, PM_STS, STS_WAK);
}

/* ---- the PM block, byte by byte: wider accesses are made of these ---- */

static uint8_t pm_read_byte(struct piix4_pm *s, unsigned off)
{
	if (off >= PM_TMR && off < PM_TMR + 4)
		return (uint8_t)((pm_ticks(s) & 0xffffff) >> (off - PM_TMR) * 8);
	return s->reg[off];
}

static void pm_write_byte(struct piix4_pm *s, unsigned off, uint8_t val)
{
	s->reg[off] = (uint8_t)((s->reg[off] & ~pm_wmask[off]) | (val & pm_wmask[off]));
	s->reg[off] &= ~(val & pm_w1cmask[off]);
	if (off == PM_CNT + 1 && (val & CNT_SLP_EN >> 8))
		pm_sleep(s);
}

static uint64_t pm_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;
	uint64_t v = 0;
	unsigned i;

	if (addr < PM_EN) {
		pm_sync(s);
		pm_update(s);
	}
	for (i = 0; i < size && addr + i < PM_LEN; i++)
		v |= (uint64_t)pm_read_byte(s, (unsigned)addr + i) << i * 8;
	return v;
}

static void pm_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;
	unsigned i;

	pm_sync(s);
	for (i = 0; i < size && addr + i < PM_LEN; i++)
		pm_write_byte(s, (unsigned)addr + i, (uint8_t)(val >> i * 8));
	pm_update(s);
}

static uint64_t gpe_read(struct device *dev, uint64_t addr, unsigned size)
{
	return ((struct piix4_pm *)dev)->reg[PM_GPSTS + (addr & 3)];
}

static void gpe_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	pm_write(dev, PM_GPSTS + (addr & 3), 1, val);
}

static uint64_t apm_read(struct device *dev, uint64_t addr, unsigned size)
{
	return ((struct piix4_pm *)dev)->apm[addr & 1];
}

static void apm_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;

	s->apm[addr & 1] = (uint8_t)val;
	if (addr & 1)
		return;
	pm_sync(s);
	if ((uint8_t)val == APM_ACPI_ENABLE)
		s->reg[PM_CNT] |= CNT_SCI_EN;
	else if ((uint8_t)val == APM_ACPI_DISABLE)
		s->reg[PM_CNT] &= ~CNT_SCI_EN;
	pm_update(s);
}

static uint64_t smb_read(struct device *dev, uint64_t addr, unsigned size)
{
	return ((struct piix4_pm *)dev)->smb[addr & (SMB_LEN - 1)];
}

static void smb_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;

	switch (addr) {
	case SMB_HSTSTS: s->smb[SMB_HSTSTS] &= ~((uint8_t)val & HSTSTS_ERRS); break;
	case SMB_HSTCNT:
		s->smb[SMB_HSTCNT] = (uint8_t)val & ~HSTCNT_START;
		if (val & HSTCNT_START)
			s->smb[SMB_HSTSTS] |= HSTSTS_DEVERR;
		break;
	case 1: /* slave status */ break;
	default: s->smb[addr & (SMB_LEN - 1)] = (uint8_t)val;
	}
}

static const struct io_ops pm_ops = { pm_read, pm_write, .max_size = 4 };
static const struct io_ops gpe_ops = { gpe_read, gpe_write, .max_size = 1 };
static const struct io_ops apm_ops = { apm_read, apm_write, .max_size = 1 };
static const struct io_ops smb_ops = { smb_read, smb_write, .max_size = 1 };

/* ---- PCI configuration ---- */

static uint32_t config_base(const struct piix4_pm *s, unsigned off, uint32_t mask)
{
	return (uint32_t)(s->pci.config[off] | s->pci.config[off + 1] << 8) & mask;
}

static void pm_unmap(struct piix4_pm *s, uint32_t *mapped, uint32_t len)
{
	if (*mapped)
		io_unmap(&s->dev, *mapped - 1, len);
	*mapped = 0;
}

/* A guest that puts a range over other chips' ports, or at 0, gets nothing. */
static void pm_map(
	struct piix4_pm *s, uint32_t *mapped, uint32_t base, uint32_t len, const struct io_ops *ops)
{
	if (base && io_map(&s->dev, base, len, ops, NULL) == 0)
		*mapped = base + 1;
}

/* Both anew each time, so that the outcome follows from the configuration alone, not from its
 * history. */
static void pm_update_maps(struct piix4_pm *s)
{
	const uint8_t *cfg = s->pci.config;

	pm_unmap(s, &s->pm_mapped, PM_LEN);
	pm_unmap(s, &s->smb_mapped, SMB_LEN);
	if (cfg[CFG_PMREGMSC] & 1)
		pm_map(s, &s->pm_mapped, config_base(s, CFG_PMBA, 0xffc0), PM_LEN, &pm_ops);
	if ((cfg[CFG_SMBCFG] & 1) && (cfg[4] & 1))
		pm_map(s, &s->smb_mapped, config_base(s, CFG_SMBBA, 0xfff0), SMB_LEN, &smb_ops);
}

static void pm_config_written(struct device *dev, unsigned off, unsigned len)
{
	pm_update_maps((struct piix4_pm *)dev);
}

/* off, reset value, writable bits */
#define PM_CONFIG(X)                                        \
	X(0x00, 0x86, 0x00)                                 \
	X(0x01, 0x80, 0x00)                                 \
	X(0x02, 0x13, 0x00)                                 \
	X(0x03, 0x71, 0x00)                                 \
	X(0x04, 0x00, 0x01) /* PCICMD: I/O space */         \
	X(0x06, 0x80, 0x00) /* PCISTS: fast back-to-back */ \
	X(0x07, 0x02, 0x00) /* medium DEVSEL# timing */     \
	X(0x08, 0x03, 0x00) /* revision */                  \
	X(0x0a, 0x80, 0x00) /* class 0680h: other bridge */ \
	X(0x0b, 0x06, 0x00)                                 \
	X(0x3c, 0x09, 0xff) /* interrupt line: the SCI */   \
	X(0x3d, 0x01, 0x00) /* INTA# */                     \
	X(0x40, 0x01, 0xc0) /* PMBA */                      \
	X(0x41, 0x00, 0xff)                                 \
	X(0x58, 0x00, 0xff) /* DEVACTB */                   \
	X(0x59, 0x00, 0xff)                                 \
	X(0x5a, 0x00, 0xff)                                 \
	X(0x5b, 0x00, 0x03)                                 \
	X(0x80, 0x00, 0x01) /* PMREGMISC */                 \
	X(0x90, 0x01, 0xf0) /* SMBBA */                     \
	X(0x91, 0x00, 0xff)                                 \
	X(0xd2, 0x00, 0x0f) /* SMBHSTCFG */                 \
	X(0xd3, 0x00, 0xff) /* SMBSLVC */                   \
	X(0xd4, 0x00, 0xff) /* SMBSHDW1 */                  \
	X(0xd5, 0x00, 0xff) /* SMBSHDW2 */

static void pm_config_reset(struct piix4_pm *s)
{
	uint8_t *cfg = s->pci.config;
	unsigned i;

	for (i = 0; i < PCI_CONFIG_SIZE; i++)
		cfg[i] = 0;
#define X(off, value, mask) cfg[off] = (value);
	PM_CONFIG(X)
#undef X
	if (s->reset_base) {
		cfg[CFG_PMBA] |= s->reset_base & 0xc0;
		cfg[CFG_PMBA + 1] = (uint8_t)(s->reset_base >> 8);
		cfg[CFG_PMREGMSC] = 1;
	}
}

static int pm_realize(struct device *dev, struct error *err)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;
	int rc;

	if (s->reset_base > 0xffff || s->reset_base % PM_LEN)
		return error_set(err, 22,
			"%s: pm-base %#x: expected a multiple of 64 below 0x10000", dev->id,
			s->reset_base);
	if (s->devfn > 0xff)
		return error_set(err, 22, "%s: devfn %#x: expected 0 to 0xff", dev->id, s->devfn);
	s->pci.dev = dev;
	s->pci.config_written = pm_config_written;
#define X(off, value, mask) s->pci.wmask[off] = (mask);
	PM_CONFIG(X)
#undef X
	pm_config_reset(s);
	timer_init(dev, &s->timer, pm_fire);
	line_output(dev, "sci", &s->sci, 1);
	rc = pci_register(dev, &s->pci, (uint8_t)s->devfn, err);
	if (rc == 0)
		rc = io_map(dev, 0xb2, 2, &apm_ops, err);
	if (rc == 0)
		rc = io_map(dev, GPE_BASE, 4, &gpe_ops, err);
	return rc;
}

static void pm_reset(struct device *dev)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;
	unsigned i;

	for (i = 0; i < PM_LEN; i++)
		s->reg[i] = 0;
	for (i = 0; i < SMB_LEN; i++)
		s->smb[i] = 0;
	s->apm[0] = 0;
	s->apm[1] = 0;
	s->sync_ticks = pm_ticks(s);
	pm_config_reset(s);
	pm_update_maps(s);
	pm_update(s);
}

static void pm_loaded(struct device *dev)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;

	pm_update_maps(s);
}

/* The power button. Without ACPI (SCI_EN clear) nobody hears it. */
static void pm_powerdown(struct device *dev)
{
	struct piix4_pm *s = (struct piix4_pm *)dev;

	pm_sync(s);
	pm_set16(s, PM_STS, STS_PWRBTN);
	pm_update(s);
}

static const struct prop pm_props[] = {
	{ "pm-base", PROP_U32, offsetof(struct piix4_pm, reset_base), 0x600 },
	{ "devfn", PROP_U32, offsetof(struct piix4_pm, devfn), 0x0b },
	PROP_END,
};

/* Where the ranges are mapped follows from the configuration space. */
static const struct field pm_fields[] = {
	FIELD_ARRAY(struct piix4_pm, pci.config),
	FIELD_TIMER(struct piix4_pm, timer),
	FIELD(struct piix4_pm, sync_ticks),
	FIELD_ARRAY(struct piix4_pm, reg),
	FIELD_ARRAY(struct piix4_pm, smb),
	FIELD_ARRAY(struct piix4_pm, apm),
	FIELD_END,
};

const struct device_class piix4_pm_class = {
	.name = "PIIX4_PM",
	.desc = "PIIX4 ACPI power management",
	.instance_size = sizeof(struct piix4_pm),
	.props = pm_props,
	.fields = pm_fields,
	.realize = pm_realize,
	.reset = pm_reset,
	.loaded = pm_loaded,
	.powerdown = pm_powerdown,
};
