// The pictures of the report in the documentation: `make report-pictures`.
//
// REPORTS is the folder with the pages, PICTURES where the pictures go, CHROMIUM the browser.
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const { REPORTS, PICTURES, CHROMIUM } = process.env;
const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
const browser = await chromium.launch({ executablePath: CHROMIUM, args });

async function picture(file, colorScheme, viewport, prepare) {
  const page = await browser.newPage({ colorScheme, viewport });
  await page.goto(String(pathToFileURL(`${REPORTS}/fleet.html`)));
  await prepare(page);
  await page.screenshot({ path: `${PICTURES}/${file}` });
  await page.close();
}

await picture('report.png', 'light', { width: 1280, height: 900 }, async () => {});

await picture('report-phone.png', 'dark', { width: 360, height: 780 }, async (page) => {
  await page.locator('.reasons a', { hasText: 'BpfNotInLsmList' }).click();
  await page.locator('button.open').first().click();
  await page.locator('#found').evaluate((found) => found.scrollIntoView());
});

await browser.close();
