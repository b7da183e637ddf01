/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ACPI says about this PC: one PCI root with PIIX3's interrupt links, the ISA devices, soft off.
 * PIRQ wiring: pci_set_irq() in pci.c. Links in APIC mode are the ISA IRQs that PIIX3 steers to, which the I/O APIC sees as pins of
 * the same number.
 */
DefinitionBlock ("", "DSDT", 1, "DEJAVM", "DEJAVMPC", 0x00000001)
{
	/* SLP_TYP 0 is soft off (PIIX4 PMCNTRL) */
	Name (\_S5, Package (4) { 0x00, 0x00, 0x00, 0x00 })

	/* The OS says which interrupt model it uses; the links are the same in both. */
	Method (\_PIC, 1, NotSerialized)
	{
	}

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0xff, 0, 0x100)
				IO (Decode16, 0x0cf8, 0x0cf8, 0x01, 0x08)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0000, 0x0cf7, 0, 0x0cf8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0d00, 0xffff, 0, 0xf300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
					ReadWrite, 0, 0x000a0000, 0x000bffff, 0, 0x00020000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
					ReadWrite, 0, 0xc0000000, 0xfebfffff, 0, 0x3ec00000)
			})

/* Four pins of a slot, each on the next link. */
#define SLOT(n, a, b, c, d) \
				Package (4) { n##FFFF, 0, a, 0 }, Package (4) { n##FFFF, 1, b, 0 }, \
				Package (4) { n##FFFF, 2, c, 0 }, Package (4) { n##FFFF, 3, d, 0 }

			Name (_PRT, Package ()
			{
				SLOT (0x0000, LNKD, LNKA, LNKB, LNKC),
				SLOT (0x0001, LNKA, LNKB, LNKC, LNKD),
				SLOT (0x0002, LNKB, LNKC, LNKD, LNKA),
				SLOT (0x0003, LNKC, LNKD, LNKA, LNKB),
				SLOT (0x0004, LNKD, LNKA, LNKB, LNKC),
				SLOT (0x0005, LNKA, LNKB, LNKC, LNKD),
				SLOT (0x0006, LNKB, LNKC, LNKD, LNKA),
				SLOT (0x0007, LNKC, LNKD, LNKA, LNKB),
				SLOT (0x0008, LNKD, LNKA, LNKB, LNKC),
				SLOT (0x0009, LNKA, LNKB, LNKC, LNKD),
				SLOT (0x000a, LNKB, LNKC, LNKD, LNKA),
				SLOT (0x000b, LNKC, LNKD, LNKA, LNKB),
				SLOT (0x000c, LNKD, LNKA, LNKB, LNKC),
				SLOT (0x000d, LNKA, LNKB, LNKC, LNKD),
				SLOT (0x000e, LNKB, LNKC, LNKD, LNKA),
				SLOT (0x000f, LNKC, LNKD, LNKA, LNKB),
				SLOT (0x0010, LNKD, LNKA, LNKB, LNKC),
				SLOT (0x0011, LNKA, LNKB, LNKC, LNKD),
				SLOT (0x0012, LNKB, LNKC, LNKD, LNKA),
				SLOT (0x0013, LNKC, LNKD, LNKA, LNKB),
				SLOT (0x0014, LNKD, LNKA, LNKB, LNKC),
				SLOT (0x0015, LNKA, LNKB, LNKC, LNKD),
				SLOT (0x0016, LNKB, LNKC, LNKD, LNKA),
				SLOT (0x0017, LNKC, LNKD, LNKA, LNKB),
				SLOT (0x0018, LNKD, LNKA, LNKB, LNKC),
				SLOT (0x0019, LNKA, LNKB, LNKC, LNKD),
				SLOT (0x001a, LNKB, LNKC, LNKD, LNKA),
				SLOT (0x001b, LNKC, LNKD, LNKA, LNKB),
				SLOT (0x001c, LNKD, LNKA, LNKB, LNKC),
				SLOT (0x001d, LNKA, LNKB, LNKC, LNKD),
				SLOT (0x001e, LNKB, LNKC, LNKD, LNKA),
				SLOT (0x001f, LNKC, LNKD, LNKA, LNKB)
			})

			Device (ISA)
			{
				Name (_ADR, 0x00010000)
				OperationRegion (PRQC, PCI_Config, 0x60, 0x04)
				Field (PRQC, ByteAcc, NoLock, Preserve)
				{
					PRQ0, 8, PRQ1, 8, PRQ2, 8, PRQ3, 8
				}

				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
						IRQNoFlags () { 8 }
					})
				}
				Device (KBD)
				{
					Name (_HID, EisaId ("PNP0303"))
					Name (_STA, 0x0f)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
						IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
						IRQNoFlags () { 1 }
					})
				}
				Device (MOU)
				{
					Name (_HID, EisaId ("PNP0F13"))
					Name (_STA, 0x0f)
					Name (_CRS, ResourceTemplate ()
					{
						IRQNoFlags () { 12 }
					})
				}

/* A serial port is there if its scratch register holds what is written; nothing but the UART answers at its address. */
#define COM(name, uid, port, irq) \
				Device (name) \
				{ \
					Name (_HID, EisaId ("PNP0501")) \
					Name (_UID, uid) \
					OperationRegion (SCRR, SystemIO, port + 7, 1) \
					Field (SCRR, ByteAcc, NoLock, Preserve) { SCRB, 8 } \
					Method (_STA, 0, NotSerialized) \
					{ \
						Local0 = SCRB \
						SCRB = 0x5a \
						Local1 = SCRB \
						SCRB = Local0 \
						If (Local1 == 0x5a) { Return (0x0f) } \
						Return (0x00) \
					} \
					Name (_CRS, ResourceTemplate () \
					{ \
						IO (Decode16, port, port, 0x00, 0x08) \
						IRQNoFlags () { irq } \
					}) \
				}

				COM (COM1, 1, 0x03f8, 4)
				COM (COM2, 2, 0x02f8, 3)
				COM (COM3, 3, 0x03e8, 4)
				COM (COM4, 4, 0x02e8, 3)
			}

			Device (PM)
			{
				Name (_ADR, 0x00010003)
			}
		}

		/* Resources of the board that no driver claims. */
		Device (MRES)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0600, 0x0600, 0x01, 0x40)
				IO (Decode16, 0x04d0, 0x04d0, 0x01, 0x02)
				IO (Decode16, 0x00b2, 0x00b2, 0x01, 0x02)
				IO (Decode16, 0x0092, 0x0092, 0x01, 0x01)
			})
		}

/* A link: PIIX3's PIRQRC register, bit 7 off. Shared, level; active high because that is what the board's lines are to the I/O APIC. */
#define LINK(name, uid, reg) \
		Device (name) \
		{ \
			Name (_HID, EisaId ("PNP0C0F")) \
			Name (_UID, uid) \
			Name (_PRS, ResourceTemplate () \
			{ \
				Interrupt (, Level, ActiveHigh, Shared) { 5, 10, 11 } \
			}) \
			Name (BUFF, ResourceTemplate () \
			{ \
				Interrupt (, Level, ActiveHigh, Shared) { 0 } \
			}) \
			CreateDWordField (BUFF, 0x05, IRQW) \
			Method (_STA, 0, NotSerialized) \
			{ \
				If (^^PCI0.ISA.reg & 0x80) { Return (0x09) } \
				Return (0x0b) \
			} \
			Method (_DIS, 0, NotSerialized) \
			{ \
				^^PCI0.ISA.reg |= 0x80 \
			} \
			Method (_CRS, 0, Serialized) \
			{ \
				IRQW = (^^PCI0.ISA.reg & 0x0f) \
				If (^^PCI0.ISA.reg & 0x80) { IRQW = 0 } \
				Return (BUFF) \
			} \
			Method (_SRS, 1, NotSerialized) \
			{ \
				CreateDWordField (Arg0, 0x05, SETW) \
				^^PCI0.ISA.reg = SETW \
			} \
		}

		LINK (LNKA, 0, PRQ0)
		LINK (LNKB, 1, PRQ1)
		LINK (LNKC, 2, PRQ2)
		LINK (LNKD, 3, PRQ3)

		Device (CPU0)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 0)
		}
	}
}
